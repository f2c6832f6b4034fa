import pytest
import torch
from torch.nn import functional as F

from cxrscreen.nets.depthwise import depthwise
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0


def drawn(kernel, side=13, channels=6):
    generator = torch.Generator().manual_seed(kernel)
    image = torch.randn(2, channels, side, side, generator=generator, requires_grad=True)
    return image, torch.randn(channels, 1, kernel, kernel, generator=generator, requires_grad=True)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
def test_values_and_gradients_are_those_of_the_plain_convolution(kernel, stride, padding):
    image, weight = drawn(kernel)
    plain = F.conv2d(image, weight, None, stride, padding, groups=6)
    above = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1))
    wanted = torch.autograd.grad(plain, (image, weight), above)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = depthwise(image, weight, stride, padding)
    assert narrow.dtype == torch.bfloat16
    # Eight bits of mantissa.
    torch.testing.assert_close(narrow.float(), plain, rtol=0.02, atol=0.02 * float(plain.detach().abs().max()))
    for found, exact in zip(torch.autograd.grad(narrow, (image, weight), above), wanted, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, rtol=0.02, atol=0.02 * float(exact.abs().max()))


def test_in_float32_it_is_the_plain_convolution():
    image, weight = drawn(5)
    torch.testing.assert_close(
        depthwise(image, weight, 2, 1), F.conv2d(image, weight, None, 2, 1, groups=6), rtol=0, atol=0
    )


def test_what_is_frozen_gets_no_gradient():
    image, weight = drawn(5)
    with torch.autocast("cpu", torch.bfloat16):
        depthwise(image, weight.detach(), 1).sum().backward()
        assert image.grad is not None
        image.grad = None
        depthwise(image.detach(), weight, 1).sum().backward()
    assert image.grad is None
    assert weight.grad is not None


def test_a_whole_network_learns_in_bfloat16_what_it_learns_in_float32():
    torch.manual_seed(0)
    network = EfficientNetLite0(1).eval()
    images = torch.rand(2, 1, 64, 64)

    def learned(*, narrow):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            network(images).float().sum().backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    wide, narrow = learned(narrow=False), learned(narrow=True)
    assert float(F.cosine_similarity(wide, narrow, dim=0)) > 0.99
