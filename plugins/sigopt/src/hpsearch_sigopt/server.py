"""A server of SigOpt's API: connecting to it, and one clear sentence for what is wrong with it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from hpsearch.errors import BackendError, HpsearchError, OptionError, listed, nearest

if TYPE_CHECKING:
    from hpsearch_sigopt.options import SigOptOptions

HANDSHAKE_TIMEOUT = 30.0
"""Seconds that a server has to say who it is. Later answers have the client's own 150 s."""

_LONGEST_QUOTE = 300
"""How many characters of a server's own words go into an error."""


def connect(sigopt: Any, options: SigOptOptions) -> Any:
    """Return a ``sigopt.Connection`` to the server, which has taken the token and has the project.

    Raises:
        OptionError: There is no token, or the server does not take it or lacks the project.
        BackendError: The server cannot be reached, or does not answer as SigOpt's does.
    """
    try:
        connection = sigopt.Connection(client_token=options.token, api_url=options.url)
    except ValueError:
        raise OptionError(
            "api_token is missing; give it, or set SIGOPT_API_TOKEN in the environment"
        ) from None
    connection.set_proxies(options.proxies)
    usual = connection.impl.driver.timeout
    connection.set_timeout(HANDSHAKE_TIMEOUT)
    with asking(connection, "whose the token is"):
        own = connection.tokens("self").fetch().to_json()["client"]
    client = options.client_id or own
    if options.home is not None and client is not None:
        _check_project(connection, client, options.home)
    connection.set_timeout(usual)
    return connection


@contextmanager
def asking(connection: Any, what: str) -> Iterator[None]:
    """Say clearly what goes wrong while the server is asked for something.

    What the client raises does not go along as the cause: it may hold the token.

    Args:
        connection: A ``sigopt.Connection`` to a server.
        what: What it is asked: ``"for a suggestion"``.

    Raises:
        OptionError: The server does not take the token, or does not know what was named.
        BackendError: Anything else.
    """
    from sigopt.exception import ApiException, ConnectionException, SigOptException

    problem: HpsearchError
    try:
        yield
    except ConnectionException as error:
        problem = BackendError(
            f"{_place(connection)} cannot be reached, asked {what}: "
            f"{_quoted(connection, _root_of(error))}. Check "
            "api_url= and whether the server runs; with storage= a search goes on later with "
            "resume=True"
        )
    except ApiException as error:
        problem = _refused(connection, what, error.status_code, error.message)
    except (SigOptException, AttributeError, KeyError, TypeError, ValueError) as error:
        problem = BackendError(
            f"{_place(connection)} does not answer as SigOpt's API does, asked {what}: "
            f"{_quoted(connection, error)}. Check api_url="
        )
    else:
        return
    raise problem from None


def complete(answer: Any, *names: str) -> Any:
    """Return an object of SigOpt's client, which takes whatever JSON a server sends for it.

    Raises:
        TypeError: It does not have what is named.
    """
    for name in names:
        if getattr(answer, name) is None:
            raise TypeError(f"a {type(answer).__name__.lower()} without {name}")
    return answer


def _check_project(connection: Any, client: str, project: str) -> None:
    with asking(connection, f"for the projects of client {client}"):
        projects = connection.clients(client).projects().fetch().iterate_pages()
        known = [item.id for item in projects]
    if project not in known:
        raise OptionError(
            f"{_place(connection)} has no project {project!r}; it has {listed(known)}."
            f"{nearest(project, known)}"
        )


def _refused(connection: Any, what: str, status: int, message: object) -> HpsearchError:
    said = f"{_place(connection)} answered {status}, asked {what}: "
    said += _quoted(connection, message)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return OptionError(f"{said}. Check api_token= (or SIGOPT_API_TOKEN)")
    if status == HTTPStatus.NOT_FOUND:
        return OptionError(f"{said}. Check experiment_id=, client_id= and project=")
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return BackendError(said)
    return BackendError(f"{said}. With storage= a search goes on later with resume=True")


def url_of(connection: Any) -> str:
    """Return a server's URL without the password that may be in it."""
    parts = urlsplit(str(connection.impl.driver.api_url))
    return urlunsplit(parts._replace(netloc=parts.netloc.split("@")[-1]))


def _place(connection: Any) -> str:
    return f"the SigOpt server at {url_of(connection)}"


def _quoted(connection: Any, words: object) -> str:
    """Return somebody's words, shortened and without secrets: some servers send the token back."""
    driver = connection.impl.driver
    text = " ".join(str(words or "nothing").split())
    token = driver.auth.username
    login = urlsplit(str(driver.api_url)).netloc.rpartition("@")[0]
    for secret in (token, base64.b64encode(f"{token}:".encode()).decode(), login):
        text = text.replace(secret, "***") if secret else text
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def _root_of(error: BaseException) -> BaseException:
    """Return what the system said, "Connection refused", five layers of clients below."""
    root, below = error, error.__cause__
    while below is not None:
        root = below if isinstance(below, OSError) else root
        below = below.__cause__ or below.__context__
    return root
