"""Shared by the tests of torch libraries: the Gaussian surrogate, and a run with gradients."""

import torch
from other_libraries import Run, weights

SIGMA, ALPHA = 0.5, 0.5


class GaussianSpike(torch.autograd.Function):
    """The step with the gradient of `spikegrad.GaussianGrad()`, computed from torch's normal density."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx, t):
        (x,) = ctx.saved_tensors
        return t * ALPHA * torch.distributions.Normal(x.new_zeros(()), x.new_tensor(SIGMA)).log_prob(x).exp()


def differentiated_in_torch(neuron, arguments):
    """Run a neuron in torch, like `other_libraries.differentiated` in jax.

    Arguments that the neuron holds as plain numbers have no gradient and are left out.
    """
    arguments = {name: torch.tensor(value, requires_grad=True) for name, value in arguments.items()}
    spikes, membrane, final = neuron(**arguments)
    of_spikes, of_final = map(torch.tensor, weights(spikes.detach().numpy().dtype))
    ((of_spikes * spikes).sum() + (of_final * final).sum()).backward()
    gradients = {name: value.grad.numpy() for name, value in arguments.items() if value.grad is not None}
    return Run(*(value.detach().numpy() for value in (spikes, membrane, final)), gradients)
