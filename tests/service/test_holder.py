from cxrscreen.service.holder import own_holder


def test_each_that_runs_has_its_own_and_whoever_comes_again_has_it_again(tmp_path):
    (tmp_path / "other").mkdir()
    with own_holder(tmp_path) as first, own_holder(tmp_path) as second, own_holder(tmp_path / "other") as elsewhere:
        assert len({first, second, elsewhere}) == 3
        assert max(map(len, (first, second, elsewhere))) <= 128
    with own_holder(tmp_path) as again:
        assert again == first
