"""Errors in OpenAI's shape."""

from __future__ import annotations

from typing import Any

__all__ = ["ApiError", "bad_request"]

_KINDS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    408: "RequestTimeoutError",
    413: "RequestTooLargeError",
    415: "UnsupportedMediaTypeError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}


class ApiError(Exception):
    """An answer that is an error. param: the field that is wrong. retry_after: seconds."""

    def __init__(self, status: int, message: str, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.retry_after = status, message, param, retry_after

    @property
    def body(self) -> dict[str, Any]:
        kind = _KINDS.get(self.status, "APIError")
        message = self.message.encode("utf-8", "backslashreplace").decode()  # it may quote half a surrogate pair
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.status}}

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}


def bad_request(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, param)
