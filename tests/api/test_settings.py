# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the service is, and which key opens it: variable, preference, the vendor's."""

from __future__ import annotations

import pytest

from csm_retopo.api.errors import ConfigurationError
from csm_retopo.api.session import Links
from csm_retopo.api.settings import DEFAULT_API_URL, Service, find_api_url, find_key


@pytest.mark.parametrize(
    ("variable", "preference", "found"),
    [
        (None, "", DEFAULT_API_URL),
        (None, "https://csm.example", "https://csm.example"),
        ("https://other.example", "https://csm.example", "https://other.example"),
        ("  ", "https://csm.example", "https://csm.example"),
        ("", " \t", DEFAULT_API_URL),
    ],
)
def test_the_variable_comes_before_the_preference(
    variable: str | None, preference: str, found: str
) -> None:
    environ = {} if variable is None else {"CSM_API_URL": variable}
    assert find_api_url(environ, preference) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (" https://csm.example/\n", "https://csm.example"),
        ("https://csm.example:8443/api//", "https://csm.example:8443/api"),
        ("https://csm.example/v3/", "https://csm.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://127.0.0.1", "https://127.0.0.1"),
    ],
)
def test_an_address_is_taken_as_it_is_meant(given: str, found: str) -> None:
    assert find_api_url({"CSM_API_URL": given}) == found
    assert find_api_url({}, given) == found


@pytest.mark.parametrize(
    "given",
    [
        "http://csm.example",
        "http://127.0.0.1.csm.example",
        "http://0.0.0.0:8000",
        "csm.example",
        "ftp://csm.example",
        "https://",
        "https://[::1",
        "https://csm.example:port",
        "https://user:CANARY@csm.example",
        "https://csm.example/?key=CANARY",
        "https://csm.example/#CANARY",
        "https://csm.example/?",
        "https://csm example",
        "https://csm.exa\nmple",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_not_safe_is_refused(given: str) -> None:
    for environ, preference, place in (
        ({"CSM_API_URL": given}, "https://csm.example", "the variable CSM_API_URL"),
        ({}, given, "the add-on's preferences"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            find_api_url(environ, preference)
        assert str(caught.value) == (
            f"The service's address in {place} can't be used: it must look like "
            "https://api.csm.ai (http is for this machine only)"
        )


@pytest.mark.parametrize(
    ("variable", "preference", "found"),
    [
        ("from-variable", "from-preference", "from-variable"),
        (" from-variable\n", "", "from-variable"),
        ("", " from-preference ", "from-preference"),
        (None, "k", "k"),
        (None, "k" * 4000, "k" * 4000),
    ],
)
def test_the_key_is_found(variable: str | None, preference: str, found: str) -> None:
    environ = {} if variable is None else {"CSM_API_KEY": variable}
    assert find_key(environ, preference) == found


@pytest.mark.parametrize(("variable", "preference"), [(None, ""), (" ", "\n")])
def test_without_a_key_it_says_where_to_enter_one(variable: str | None, preference: str) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no API key: enter yours in the add-on"):
        find_key({} if variable is None else {"CSM_API_KEY": variable}, preference)


@pytest.mark.parametrize(
    "key",
    [
        "\u201cCANARY\u201d",
        "CAN\nARY",
        "CAN\r\nX-Other: ARY",
        "CAN ARY",
        "CAN\x00ARY",
        "CANARY\u00e9",
    ],
)
def test_a_key_that_no_header_can_hold_is_refused_unshown(key: str) -> None:
    for environ, preference, place in (
        ({"CSM_API_KEY": key}, "", "the variable CSM_API_KEY"),
        ({}, key, "the add-on's preferences"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            find_key(environ, preference)
        assert str(caught.value) == (
            f"The API key in {place} holds a character that no key has: copy it again"
        )


def test_the_key_is_in_no_text_of_the_service() -> None:
    service = Service("https://api.csm.ai", "CANARY")
    assert "CANARY" not in repr(service)
    assert "CANARY" not in str(service)
    assert "CANARY" not in f"{service}"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("https://api.csm.ai", False),
        ("https://127.0.0.1.example", False),
    ],
)
def test_links_to_this_machine_are_allowed_to_a_stand_in_only(url: str, here: bool) -> None:
    service = Service(url, "key")
    assert service.on_this_machine is here
    assert service.links is (Links.LOOPBACK if here else Links.SECURE)
