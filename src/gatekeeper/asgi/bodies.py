"""Reading a request's body with a limit: what is too large is refused without reading on."""

from starlette.requests import ClientDisconnect, Request

from gatekeeper.errors import PayloadError, PayloadTooLargeError

MAX_LENGTH_DIGITS = 20


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body of a request.

    Raises:
        PayloadTooLargeError: it is longer than `limit_bytes`, by its Content-Length or in fact.
        PayloadError: the Content-Length is no number, or the client went away in between.
    """
    declared = request.headers.get("content-length")
    if declared is not None:
        if not (declared.isascii() and declared.isdigit() and len(declared) <= MAX_LENGTH_DIGITS):
            raise PayloadError("The Content-Length header is not a number.")
        if int(declared) > limit_bytes:
            raise PayloadTooLargeError(f"The body is larger than {limit_bytes} bytes.")
    chunks: list[bytes] = []
    read = 0
    try:
        async for chunk in request.stream():
            read += len(chunk)
            if read > limit_bytes:
                raise PayloadTooLargeError(f"The body is larger than {limit_bytes} bytes.")
            chunks.append(chunk)
    except ClientDisconnect:
        raise PayloadError("The client went away before its body was complete.") from None
    return b"".join(chunks)
