"""Linear layers for few rows: the same results, and nothing else about the model changed."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from bytetok.lm.few_rows import speed_up  # noqa: E402


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 3), (2, 2), (4,), (1, 5), (3, 4), (1, 0)])
def test_few_rows_give_what_many_do(bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(8, 5, bias=bias))
    fast = copy.deepcopy(plain)
    speed_up(fast)
    given = torch.randn(*shape, 8)
    with torch.inference_mode():
        torch.testing.assert_close(fast(given), plain(given))


def test_gradients_flow_as_ever_and_copies_are_copies() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(4, 3))
    speed_up(layer)
    speed_up(layer)  # twice is once
    layer(torch.randn(2, 4)).sum().backward()
    assert layer[0].weight.grad is not None
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other[0].weight.zero_()
        other[0].bias.zero_()
        assert not other(torch.randn(2, 4)).any()
        assert layer(torch.ones(2, 4)).any()


def test_other_kinds_and_numbers_stay() -> None:
    class Own(torch.nn.Linear):
        pass

    model = torch.nn.Sequential(Own(2, 2), torch.nn.Linear(2, 2, dtype=torch.float64))
    speed_up(model)
    assert "forward" not in vars(model[0])
    with torch.inference_mode():
        assert model[1](torch.ones(2, 2, dtype=torch.float64)).dtype == torch.float64
