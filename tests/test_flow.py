"""The density of errors: what must hold of any density, and that it learns one."""

from __future__ import annotations

import math

import torch

from deeppose_cli.flow import ErrorDensity


def bent() -> ErrorDensity:
    torch.manual_seed(0)
    flow = ErrorDensity()
    for net in [*flow.scale, *flow.shift]:
        torch.nn.init.normal_(net[-1].weight, std=0.08)  # type: ignore[index]
        torch.nn.init.normal_(net[-1].bias, std=0.08)  # type: ignore[index]
    return flow


def test_it_starts_as_a_laplace_density() -> None:
    errors = torch.randn(50, 2)
    laplace = torch.distributions.Laplace(0.0, 1.0).log_prob(errors).sum(-1)
    torch.testing.assert_close(ErrorDensity()(errors), laplace)


def test_it_integrates_to_one_whatever_the_flow() -> None:
    flow = bent()
    axis = torch.linspace(-25, 25, 801)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    with torch.no_grad():
        whole = flow(torch.stack([x, y], -1).reshape(-1, 2)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert abs(whole.item() - 1) < 0.02


def test_the_determinant_is_that_of_the_map() -> None:
    flow = bent()
    for error in torch.randn(3, 2):
        jacobian = torch.autograd.functional.jacobian(lambda e: flow.straighten(e[None])[0][0], error)
        volume = flow.straighten(error[None])[1]
        assert abs(volume.item() - math.log(abs(float(torch.det(jacobian))))) < 1e-4
        assert abs(volume.item()) > 1e-3, "not the identity"


def test_it_learns_errors_that_are_not_laplaces() -> None:
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    flow = ErrorDensity()
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.01)
    told = []
    for _ in range(60):
        errors = torch.randn(256, 2, generator=generator) * torch.tensor([0.5, 0.2]) + torch.tensor([1.0, 0.0])
        loss = -flow(errors).mean()
        told.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    entropy = math.log(2 * math.pi * math.e * 0.5 * 0.2)  # nothing can do better
    assert told[0] > entropy + 1
    assert told[-1] < entropy + 0.3
