#!/usr/bin/python3
"""strangers.py N PORT...: so many connections to each port by people who mean no good: silence, half a hello, a record
that does not come, rubbish, HTTP, lengths that nothing follows. Held until standard input ends."""
import os
import socket
import sys

SAID = (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16\x03\x01\xff\xff", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"*3\r\n$3\r\nSET\r\n$999999999\r\n", b"\1\0\xff\xff" + bytes(20))


def main(n, ports):
    held = []
    for k in range(n):
        for port in ports:
            s = socket.socket()
            s.settimeout(2)
            try:
                s.connect(("127.0.0.1", port))
                s.sendall(SAID[k % len(SAID)] if k % 7 else os.urandom(400))
            except OSError:
                pass
            held.append(s)
    print("there", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(p) for p in sys.argv[2:]])
