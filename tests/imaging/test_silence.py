import threading
import warnings

import pytest

from cxrscreen.imaging.silence import without_warnings


def test_threads_that_overlap_stay_silent_and_leave_the_filters_as_they_were() -> None:
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with without_warnings():
            first_is_in.set()
            assert second_is_in.wait(5)
        first_is_out.set()

    def second() -> None:
        assert first_is_in.wait(5)
        with without_warnings():
            second_is_in.set()
            assert first_is_out.wait(5)
            warnings.warn("PATIENT^NAME", stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [threading.Thread(target=work) for work in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    assert second_is_in.is_set()
    assert shown == []


def test_an_error_ends_the_silence() -> None:
    before = list(warnings.filters)
    with pytest.raises(ValueError, match="inside"), without_warnings():
        raise ValueError("inside")
    assert list(warnings.filters) == before
