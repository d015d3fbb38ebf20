import pytest
from bed import client,http1,wait
@pytest.mark.parametrize("what",[b"GET / HT", http1.request("POST", "/", "localhost", [("Content-Length", "1000")]) + b"x"*10, http1.request("POST", "/", "localhost", [("Transfer-Encoding", "chunked")]) + b"5\r\nabc"],ids=["head","length","chunked"])
@pytest.mark.parametrize("how",["fin","notify","reset"])
@pytest.mark.parametrize("pause",[True,False])
def test_v(bed,ctx,what,how,pause):
        gw=bed.gateway(bed.settings(bed.backend(),timeouts={"head":"4s","body":"4s"}))
        c = client.Client(gw.port, ctx())
        assert c.get("/").status==200
        c.send(what)
        if pause: wait.holds(lambda: True, 0.2)
        if how=="reset": c.tcp.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        if how=="notify":
            try: c.tls.unwrap()
            except OSError: pass
        c.tcp.close()
        wait.until(lambda: gw.counter("sslgw_connections_open") == 0, 2, "no connection is left")
