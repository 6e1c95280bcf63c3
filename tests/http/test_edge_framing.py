"""What is not plainly HTTP/1.1 is refused, and nothing that follows it is heard.

The shapes come from the issue threads of llhttp, h11, uvicorn, gunicorn, Go and others; each
was once a way to smuggle a request past a proxy, or to end a server.
"""

import json

import pytest
import trio

NEXT = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def head(*lines: bytes, first: bytes = b"POST /echo HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""])


BAD_HEADS = {
    "both lengths": head(b"Content-Length: 6", b"Transfer-Encoding: chunked"),
    "both lengths, other order": head(b"Transfer-Encoding: chunked", b"Content-Length: 6"),
    "two lengths": head(b"Content-Length: 6", b"Content-Length: 5"),
    "the same length twice": head(b"Content-Length: 5", b"Content-Length: 5"),
    "a list of lengths": head(b"Content-Length: 5, 5"),
    "a signed length": head(b"Content-Length: +5"),
    "a negative length": head(b"Content-Length: -5"),
    "a hex length": head(b"Content-Length: 0x5"),
    "a length with an underscore": head(b"Content-Length: 1_0"),
    "a length with a space": head(b"Content-Length: 1 0"),
    "an empty length": head(b"Content-Length:"),
    "a length past 64 bits": head(b"Content-Length: 18446744073709551621"),
    "a length of many digits": head(b"Content-Length: " + b"9" * 400),
    "a length with a vertical tab": head(b"Content-Length: \x0b5"),
    "a length in Arabic digits": head(b"Content-Length: \xd9\xa5"),
    "a fraction": head(b"Content-Length: 5.0"),
    "gzip, chunked": head(b"Transfer-Encoding: gzip, chunked"),
    "chunked, identity": head(b"Transfer-Encoding: chunked, identity"),
    "identity": head(b"Transfer-Encoding: identity"),
    "xchunked": head(b"Transfer-Encoding: xchunked"),
    "chunked twice": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked, chunked": head(b"Transfer-Encoding: chunked, chunked"),
    "chunked and cow": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow"),
    "chunked with a parameter": head(b"Transfer-Encoding: chunked;q=1"),
    "chunked with a comma": head(b"Transfer-Encoding: ,chunked"),
    "chunked in quotes": head(b'Transfer-Encoding: "chunked"'),
    "chunked after a vertical tab": head(b"Transfer-Encoding: \x0bchunked"),
    "chunked before a no-break space": head(b"Transfer-Encoding: chunked\xa0"),
    "an empty coding": head(b"Transfer-Encoding:"),
    "chunked on HTTP/1.0": head(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"),
    "space before the colon": head(b"Content-Length : 5"),
    "tab before the colon": head(b"Transfer-Encoding\t: chunked"),
    "NEL in a name": head(b"Content-Length\x85: 5"),
    "space before a name": head(b" Content-Length: 5"),
    "folded": head(b"X: a", b" b"),
    "folded with a tab": head(b"Transfer-Encoding:", b"\tchunked"),
    "a folded first header": head(b" X: a", host=b""),
    "no colon": head(b"Content-Length"),
    "no name": head(b": 5"),
    "NUL in a value": head(b"X: a\0b"),
    "NUL in a name": head(b"X\0: b"),
    "a control character": head(b"X: a\x01b"),
    "DEL": head(b"X: a\x7fb"),
    "bare CR in a value": head(b"X: a\rContent-Length: 5"),
    "bare LF in a value": head(b"X: a\nContent-Length: 5"),
    "bare LF after the first line": b"POST / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF throughout": b"POST / HTTP/1.1\nHost: a\n\n",
    "HTTP/0.9 with a bare LF (llhttp 877)": b"POST /x\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "bare LF at the end": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\r\n\r\n",
    "CR CR LF": b"POST / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "LF first": b"\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CR first": b"\rPOST / HTTP/1.1\r\nHost: a\r\n\r\n",
    "three empty lines first": b"\r\n\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": head(first=b"GET / HTTP/1.2"),
    "HTTP/2.0": head(first=b"GET / HTTP/2.0"),
    "HTTP/3": head(first=b"GET / HTTP/3"),
    "HTTP/1": head(first=b"GET / HTTP/1"),
    "HTTP/1.10": head(first=b"GET / HTTP/1.10"),
    "HTTP/01.1": head(first=b"GET / HTTP/01.1"),
    "http/1.1": head(first=b"GET / http/1.1"),
    "ICE": head(first=b"SOURCE / ICE/1.0"),
    "RTSP": head(first=b"SETUP / RTSP/1.0"),
    "two spaces": head(first=b"GET  / HTTP/1.1"),
    "two spaces after the target": head(first=b"GET /  HTTP/1.1"),
    "a tab": head(first=b"GET\t/ HTTP/1.1"),
    "a space at the end": head(first=b"GET / HTTP/1.1 "),
    "a space at the beginning": head(first=b" GET / HTTP/1.1"),
    "a space in the target": head(first=b"GET /a b HTTP/1.1"),
    "NUL in the target": head(first=b"GET /a\0b HTTP/1.1"),
    "a hidden NUL in the target": head(first=b"GET /a%00b HTTP/1.1"),
    "raw UTF-8 in the target": head(first="GET /ä HTTP/1.1".encode()),
    "a fragment": head(first=b"GET /a#b HTTP/1.1"),
    "no target": head(first=b"GET HTTP/1.1"),
    "a target without a slash": head(first=b"GET a HTTP/1.1"),
    "an asterisk": head(first=b"OPTIONS * HTTP/1.1"),
    "another scheme": head(first=b"GET ftp://a/ HTTP/1.1"),
    "a login in the target": head(first=b"GET http://u:p@a/ HTTP/1.1"),
    "a target that contradicts Host": head(first=b"GET http://b/ HTTP/1.1"),
    "no Host": head(host=b""),
    "two Hosts": head(b"Host: a"),
    "another Host": head(b"Host: b"),
    "an empty Host": head(host=b"Host:"),
    "a Host with a path": head(host=b"Host: a/b"),
    "a Host with a login": head(host=b"Host: u@a"),
    "a Host with a space": head(host=b"Host: a b"),
    "a list of Hosts": head(host=b"Host: a, b"),
    "a Host with a wrong port": head(host=b"Host: a:b"),
    "a Host with a broken bracket": head(host=b"Host: [::1"),
    "two Hosts on HTTP/1.0": head(b"Host: b", first=b"GET / HTTP/1.0"),
    "the end of a response": b"HTTP/1.1 200 OK\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
    "an SSH greeting": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(128, 256)),
    "a WebSocket upgrade": head(
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
        first=b"GET / HTTP/1.1",
    ),
    "a WebSocket upgrade with bad headers": head(
        b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: \xff"
    ),
    "an h2c upgrade": head(
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    ),
    "an h2c upgrade with broken settings": head(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: ????"
    ),
    "an h2c upgrade with a body": head(
        b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5"
    ),
    "an upgrade that is not announced": head(b"Upgrade: h2c"),
    "two upgrades": head(b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"),
    "an upgrade to TLS": head(b"Connection: upgrade", b"Upgrade: TLS/1.0"),
}

BAD_CHUNKS = {
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a prefixed size": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
    "a size that is none": b"hello\r\n0\r\n\r\n",
    "a size past 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space after": b"5 \r\nhello\r\n0\r\n\r\n",
    "a tab after": b"5\t\r\nhello\r\n0\r\n\r\n",
    "a bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
    "CR CR LF after the size": b"5\r\r\nhello\r\n0\r\n\r\n",
    "a bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "any two bytes after the data (h11 0.14)": b"5\r\nhelloXX0\r\n\r\n",
    "too much data": b"5\r\nhello!\r\n0\r\n\r\n",
    "too little data": b"5\r\nhell\r\n0\r\n\r\n",
    "a bare LF in an extension (Kestrel)": b"5;a\nx\r\nhello\r\n0\r\n\r\n",
    "a bare CR in an extension": b"5;a\rx\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "an extension without an end": b"5;" + b"a" * 5000,
    "extensions for ever (Go)": b"".join(b"1;%b\r\nx\r\n" % (b"a" * 900) for _ in range(40)),
    "two bytes after the last chunk (Bun)": b"0\r\nXX",
    "a bare LF after the last chunk": b"0\n\n",
    "a bare LF as the end": b"5\r\nhello\r\n0\r\n\n",
    "a trailer with a space": b"0\r\nX : y\r\n\r\n",
    "a trailer without a colon": b"0\r\nX\r\n\r\n",
    "a folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
    "a trailer with a bare LF": b"0\r\nX: y\n\r\n\r\n",
    "a trailer with NUL": b"0\r\nX: \0\r\n\r\n",
    "a trailer without an end": b"0\r\nX: " + b"y" * 5000,
    "trailers for ever": b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 1000,
    "a next request in place of a chunk": NEXT,
}


def is_one_problem(answer: bytes, *statuses: int) -> None:
    """The answer is one closing response with a problem in it, and nothing more."""
    top, _, body = answer.partition(b"\r\n\r\n")
    lines = top.lower().split(b"\r\n")
    assert b"connection: close" in lines, answer
    assert b"content-length: %d" % len(body) in lines, answer
    assert b"content-type: application/problem+json" in lines
    problem = json.loads(body)
    assert problem["status"] == int(top.split()[1])
    assert problem["status"] in statuses, answer
    assert problem["type"].startswith("/problems/")
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize("raw", BAD_HEADS.values(), ids=BAD_HEADS.keys())
async def test_an_ambiguous_head_never_smuggles_a_request(raw, edge_server):
    is_one_problem(await edge_server.talk(raw + NEXT), 400)


@pytest.mark.parametrize("raw", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
async def test_an_ambiguous_chunk_never_smuggles_a_request(raw, edge_server):
    is_one_problem(await edge_server.talk(CHUNKED + raw + NEXT), 400)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 505),
        (head(first=b"CONNECT a:443 HTTP/1.1"), 501),
        (head(first=b"TRACE / HTTP/1.1"), 501),
        (head(first=b"BREW / HTTP/1.1"), 501),
        (head(first=b"get / HTTP/1.1"), 501),
        (head(b"Expect: 200-ok"), 417),
    ],
    ids=["HTTP/2 preface", "CONNECT", "TRACE", "BREW", "get", "Expect"],
)
async def test_what_is_valid_but_not_served_is_told_so(raw, status, edge_server):
    is_one_problem(await edge_server.talk(raw + NEXT), status)


@pytest.mark.parametrize("pieces", [1, 3, 7])
async def test_how_a_head_is_cut_into_packets_does_not_matter(pieces, edge_server):
    raw = b"\r\n" + head(b"Content-Length: 5", b"Connection: close") + b"hello"
    cut = [raw[i::1][:pieces] for i in range(0, len(raw), pieces)]
    answer = await edge_server.talk(*cut)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("pieces", [1, 2, 5])
async def test_how_chunks_are_cut_into_packets_does_not_matter(pieces, edge_server):
    raw = CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    raw += b'5;a="b;c"\r\nhello\r\n006\r\n world\r\n0;x\r\nX-Sum: 1\r\n\r\n'
    answer = await edge_server.talk(*(raw[i : i + pieces] for i in range(0, len(raw), pieces)))
    assert answer.endswith(b"\r\n\r\nhello world")


async def test_a_bad_request_in_a_pipeline_ends_it_after_the_good_ones(edge_server):
    good = head(first=b"GET / HTTP/1.1")
    answer = await edge_server.talk(good + good + head(b"Content-Length: x") + NEXT)
    first, second, last = answer.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200")
    assert second.startswith(b"200")
    is_one_problem(b"HTTP/1.1 " + last, 400)


async def test_a_refused_client_that_is_still_sending_hears_why(edge_server):
    async with edge_server.connect() as stream:
        await stream.send_all(head(b"Content-Length: 0x5"))
        try:
            for _ in range(50):
                await stream.send_all(b"x" * 10_000)
        except trio.BrokenResourceError:
            pytest.fail("the connection was reset")
        answer = b""
        async for piece in stream:
            answer += piece
    is_one_problem(answer, 400)
