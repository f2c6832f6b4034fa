import pytest
from argon2 import PasswordHasher

from cxrscreen.service.security import passwords
from cxrscreen.service.security.passwords import (
    WeakPasswordError,
    check_password,
    hash_password,
    is_outdated,
    password_fits,
)


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("T9$kq!zX", "too short"),
        ("x9" * 129, "too long"),
        ("password1234", "easily guessed"),
        ("aaaaaaaaaaaaaaaa", "easily guessed"),
        ("cxrscreencxrscreen", "easily guessed"),
        ("maria.gonzalez.1", "easily guessed"),
    ],
)
def test_weak(password, sentence):
    with pytest.raises(WeakPasswordError, match=sentence):
        check_password(password, ["maria.gonzalez"])


@pytest.mark.parametrize("password", ["walrus bicycle tangerine", "ночной поезд до мурома", "9vK#2mQx!rT5"])
def test_strong(password):
    check_password(password)


def test_kept_as_argon2id_and_each_time_with_another_salt():
    first, second = hash_password("walrus bicycle tangerine"), hash_password("walrus bicycle tangerine")
    assert first.startswith("$argon2id$")
    assert first != second
    assert password_fits(first, "walrus bicycle tangerine")
    assert not password_fits(first, "walrus bicycle tangerines")


def test_the_real_parameters_take_64_mib():
    import importlib

    fresh = importlib.util.module_from_spec(importlib.util.find_spec(passwords.__name__))
    fresh.__spec__.loader.exec_module(fresh)
    assert (fresh._hasher.memory_cost, fresh._hasher.time_cost) == (65536, 3)


def test_the_same_characters_in_another_normal_form_fit():
    kept = hash_password("über den wolken fliegen")
    assert password_fits(kept, "u\u0308ber den wolken fliegen")


def test_no_password_fits_nothing_and_is_compared_all_the_same(monkeypatch):
    compared = []

    class Watching(PasswordHasher):
        def verify(self, kept, password):
            compared.append(kept.rpartition("$")[0].rpartition("$")[0])
            return super().verify(kept, password)

    monkeypatch.setattr(passwords, "_hasher", Watching(time_cost=1, memory_cost=8, parallelism=1))
    kept = hash_password("walrus bicycle tangerine")
    assert not password_fits(None, "walrus bicycle tangerine")
    assert not password_fits(kept, "x" * 1000)
    assert password_fits(kept, "walrus bicycle tangerine")
    assert len(compared) == 3
    assert len(set(compared)) == 1


def test_a_hash_of_other_parameters_is_outdated():
    kept = hash_password("walrus bicycle tangerine")
    assert not is_outdated(kept)
    assert is_outdated(kept.replace("t=1", "t=2"))


def test_what_is_no_hash_fits_nothing():
    assert not password_fits("damaged", "walrus bicycle tangerine")
