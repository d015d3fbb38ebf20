"""conftext.py: a Python dict as the text of a configuration file."""


def value(v, depth=1):
    pad = "\t" * depth
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, dict):
        inner = "".join(f"{pad}\t{k} = {value(x, depth + 1)};\n" for k, x in v.items())
        return "{\n" + inner + pad + "}"
    if isinstance(v, (list, tuple)):
        if v and isinstance(v[0], dict):
            return "(\n" + ",\n".join(f"{pad}\t{value(x, depth + 1)}" for x in v) + "\n" + pad + ")"
        return "[ " + ", ".join(value(x, depth) for x in v) + " ]"
    return '"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"'


def text(settings):
    return "".join(f"{k} = {value(v, 0)};\n" for k, v in settings.items())


def merged(*parts):
    """Later ones win; groups are merged, lists replaced; None removes."""
    out = {}
    for part in parts:
        for k, v in part.items():
            if v is None:
                out.pop(k, None)
            elif isinstance(v, dict) and isinstance(out.get(k), dict):
                out[k] = merged(out[k], v)
            else:
                out[k] = v
    return out
