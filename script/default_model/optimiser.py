"""Muon for the matrices, Adam for embedding and norms, over fp32 masters of a bf16 model.

Muon: Jordan et al. 2024 (orthogonalised momentum by a quintic Newton–Schulz iteration); its step is scaled to an RMS of 0.2 as in
Liu et al. 2025 (arXiv 2502.16982, eq. 4), so that both halves share one learning rate. Masters let the model hold rounded weights:
bf16, or in the last part of training the NF4 round trip, which is straight-through quantisation-aware training.
"""
import collections

import torch

import nf4


def orthogonalise(g, steps=5):
    """Newton–Schulz on a stack g [n, rows, cols]: singular values go to about 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    flip = x.shape[-2] > x.shape[-1]
    x = x.mT if flip else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return (x.mT if flip else x).float()


class Optimiser:
    def __init__(self, model, decay=0.05):
        groups = collections.defaultdict(list)
        for name, p in model.named_parameters():
            matrix = p.dim() == 2 and "embed" not in name
            groups[(matrix, "norm" in name, p.shape)].append((name, p))
        self.decay, self.count, self.groups, self.quantised = decay, 0, [], False
        for (matrix, _, _), members in groups.items():
            master = torch.stack([p.detach().float() for _, p in members])
            model_copy = master.bfloat16() if master.is_cuda else master.clone()
            for i, (_, p) in enumerate(members):
                p.data = model_copy[i]
            self.groups.append(dict(matrix=matrix, names=[n for n, _ in members], members=[p for _, p in members], master=master,
                                    copy=model_copy, first=torch.zeros_like(master),
                                    second=None if matrix else torch.zeros_like(master)))

    @torch.no_grad()
    def step(self, rate, scale):
        """One step at learning rate `rate`; gradients are multiplied by `scale` (1 / sum of loss weights) and clipped for Adam only."""
        self.count += 1
        for g in self.groups:
            grad = torch.stack([p.grad for p in g["members"]]).float() * scale
            if g["matrix"]:
                g["first"].lerp_(grad, 0.05)
                update = orthogonalise(grad.lerp(g["first"], 0.95))
                update *= 0.2 * max(grad.shape[-2:]) ** 0.5
                g["master"].mul_(1 - rate * self.decay)
            else:
                g["first"].lerp_(grad, 0.1)
                g["second"].lerp_(grad.square(), 0.05)
                first = g["first"] / (1 - 0.9 ** self.count)
                update = first / ((g["second"] / (1 - 0.95 ** self.count)).sqrt() + 1e-10)
            g["master"].add_(update, alpha=-rate)
            for p in g["members"]:
                p.grad = None
        self.publish()

    @torch.no_grad()
    def publish(self):
        """Writes the masters into the model: rounded to bf16, or through NF4."""
        for g in self.groups:
            g["copy"].copy_(nf4.round_trip(g["master"].bfloat16()) if self.quantised and g["matrix"] else g["master"])

    def state(self):
        """The masters under the parameters' names, as bf16."""
        return {name: g["master"][i].bfloat16().cpu().clone() for g in self.groups for i, name in enumerate(g["names"])}
