"""The plain pass that decoders of one token per pass are charged for computes what the network computes."""

import torch

from fef.bench.engine.plain import kernel_logits
from fef.bench.engine.shapes import random_network, shape_config


def test_a_plain_pass_in_kernels_has_the_logits_of_the_network(device):
    network = random_network(shape_config("tiny"), torch.device(device), torch.float32)
    ids = [5, 9, 3, 1, 7, 2, *[network.mask_id] * 5]
    for slots in (5, 1):
        logits_MV = kernel_logits(network, ids, 2, slots, overlap=False)()
        expected_LV = network(torch.tensor([ids], device=device))[0]
        assert logits_MV.shape == (2 * slots, network.vocab_size)
        for row_SV in logits_MV.view(2, slots, -1):
            torch.testing.assert_close(row_SV, expected_LV[-slots:], atol=2e-2, rtol=2e-2)
