"""What the tests of torch's libraries share: the Gaussian as a surrogate, and a run with its gradients."""

import torch
from other_libraries import Run, weights

SIGMA, ALPHA = 0.5, 0.5


class GaussianSpike(torch.autograd.Function):
    """The step with the gradient of `spikegrad.GaussianGrad()`, by torch's own normal density."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx, t):
        (x,) = ctx.saved_tensors
        return t * ALPHA * torch.distributions.Normal(x.new_zeros(()), x.new_tensor(SIGMA)).log_prob(x).exp()


def differentiated_in_torch(neuron, arguments):
    """The run of a neuron in torch, as `spike_by_spike.differentiated` runs one in jax.

    The gradients of what does not require one, since the neuron holds it as a number, are left out.
    """
    arguments = {name: torch.tensor(value, requires_grad=True) for name, value in arguments.items()}
    spikes, membrane, final = neuron(**arguments)
    of_spikes, of_final = map(torch.tensor, weights(spikes.detach().numpy().dtype))
    ((of_spikes * spikes).sum() + (of_final * final).sum()).backward()
    gradients = {name: value.grad.numpy() for name, value in arguments.items() if value.grad is not None}
    return Run(*(value.detach().numpy() for value in (spikes, membrane, final)), gradients)
