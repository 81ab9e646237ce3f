"""Values computed once by an independent implementation in float64."""

from __future__ import annotations

import pytest
import torch

from mmlego.lego import LegoBlock, LegoFuse, LegoMerge, merge_heads, merge_latents, slerp, spectrum
from mmlego.lego.heads import spherical_mean

VARIANTS = {
    "A_default_2d_complex_normalised": {},
    "B_2d_real_state": {"spatial_state": "real"},
    "C_2d_complex_not_normalised": {"normalise": False},
    "D_2d_complex_not_normalised_imag_not_tracked": {
        "normalise": False,
        "track_imaginary": False,
    },
    "E_2d_complex_normalised_imag_not_tracked": {"track_imaginary": False},
    "F_frequency_domain_off": {"frequency_domain": False},
    "G_official_code_compatible_1d_channels_T0.5_leaky": {"profile": "official"},
}


def test_transforms(reference, to_complex, close):
    case = reference["fft"]
    x, y = (torch.tensor(case[k], dtype=torch.float64) for k in "xy")
    close(spectrum.transform(x, "2d"), to_complex(case["fft2_x"]), 1e-9)
    close(spectrum.transform(x, "1d"), to_complex(case["fft_axis0_x"]), 1e-9)
    assert float(spectrum.energy(spectrum.transform(x, "2d"), "2d")) == pytest.approx(
        case["energy_freq_backward"], abs=1e-8
    )
    distance = (spectrum.transform(x, "2d") - spectrum.transform(y, "2d")).abs().square().sum()
    assert float(distance.sqrt()) == pytest.approx(case["euclid_distance_fft2_backward"], abs=1e-8)


def test_real_state_keeps_the_even_part(reference, to_complex, close):
    case = reference["fft"]["real_projection"]
    imaginary = torch.tensor(reference["fft"]["fft2_x"]["im"], dtype=torch.float64)
    z = torch.complex(torch.tensor(case["Rnew"], dtype=torch.float64), imaginary)
    projected = spectrum.transform(spectrum.invert(z, "2d").real, "2d")
    close(projected, to_complex(case["fft2_of_real_part_of_ifft2"]))


@pytest.mark.parametrize(("width", "rank"), [(8, 5), (64, 33)])
def test_real_context_loses_half_of_one_token(width, rank):
    basis = torch.eye(width, dtype=torch.float64)[:, None, :]
    kept = {c: spectrum.view_of(basis, "2d", c)[:, 0] for c in ("real", "hartley", "concat")}
    ranks = {c: int(torch.linalg.matrix_rank(v)) for c, v in kept.items()}
    assert ranks == {"real": rank, "hartley": width, "concat": width}


def test_equation_3_as_printed(reference, gen, to_complex, close):
    case = reference["eq3_literal"]
    latent, h = gen((2, 3), 0.1), gen((2, 4), 0.7, 1.0)
    z = spectrum.transform(latent, "2d")
    context = spectrum.view_of(h, "2d", "real")
    close(z.real, case["Re_F_L"])
    close(context, case["Re_F_h"])
    q, k, v = z.real @ gen((3, 2), 1.0), context @ gen((4, 2), 2.0), context @ gen((4, 3), 3.0)
    new = torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None])[0]
    close(new, case["L_next_F_real"])
    spatial = spectrum.invert(torch.complex(new, z.imag), "2d")
    close(spatial, to_complex(case["L_next_spatial_complex"]))


@pytest.mark.parametrize("literal", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_block(variant, literal, reference, gen, make_reference_block, to_complex, close):
    case = reference["lego_block_forward"]["cases"][variant]
    block = make_reference_block(**VARIANTS[variant])
    x = gen((2, 5, 6), 4.0, 1.0)
    z = block.encode(x, literal=literal)
    close(z, to_complex(case["Z_out"]))
    close(block.head(z), case["logits"])
    close(block(x), case["logits"])


@pytest.fixture
def pair(make_reference_block, gen):
    blocks = {"one": make_reference_block(), "two": make_reference_block(5, 0.9)}
    inputs = {"one": gen((2, 5, 6), 4.0, 1.0), "two": gen((2, 2, 5), 6.0, 1.0)}
    return blocks, inputs


LACKS = {"two": torch.tensor([True, False])}


def test_unimodal_pair_and_head(pair, reference, close):
    blocks, inputs = pair
    case = reference["merge_and_fuse"]
    close(blocks["one"](inputs["one"]), case["unimodal_logits_1"])
    close(blocks["two"](inputs["two"]), case["unimodal_logits_2"])
    head = merge_heads([b.head for b in blocks.values()])
    for value, key in zip(head.tensors(), ("lnh_g", "lnh_b", "Wh", "bh"), strict=True):
        close(value, case["head_slerp_mu_0.5"][key])


@pytest.mark.parametrize(
    ("key", "mode", "present"),
    [
        ("merge_harmonic_arithmetic", "present", None),
        ("merge_sample2_lacks_modality2_head_present", "present", LACKS),
        ("merge_sample2_lacks_modality2_head_static", "static", LACKS),
    ],
)
def test_merge(key, mode, present, pair, reference, to_complex, close):
    blocks, inputs = pair
    case = reference["merge_and_fuse"][key]
    merged = LegoMerge(blocks, head_mode=mode).eval()
    close(merged(inputs, present), case["logits"])
    if "Z" in case:
        expected = to_complex(case["Z"])
        merged_latent = merged.encode(inputs)
        # Bins (0, 0) and (0, 2) of a latent that starts real are real. Where two of them differ in
        # sign the mean phase is +-pi/2, and the round-off of whoever computes it picks the sign.
        for column in (0, 2):
            close(merged_latent[:, 0, column].imag.abs(), expected[:, 0, column].imag.abs())
            expected[:, 0, column] = merged_latent[:, 0, column].detach()
        close(merged_latent, expected)
        close(merged_latent.real, case["Z"]["re"])


@pytest.mark.parametrize(
    ("key", "options", "present"),
    [
        ("fuse_stack_transition_ifft", {}, None),
        ("fuse_stack_sample2_lacks_modality2", {}, LACKS),
        ("fuse_stack_official_transition_raw_real", {"transition": "raw_real"}, None),
        ("fuse_weave", {"mode": "weave"}, None),
    ],
)
def test_fuse(key, options, present, pair, reference, to_complex, close):
    blocks, inputs = pair
    case = reference["merge_and_fuse"][key]
    fused = LegoFuse(blocks, **options).eval()
    close(fused(inputs, present), case["logits"])
    if "Z" in case:
        close(fused.encode(inputs), to_complex(case["Z"]))


@pytest.mark.parametrize(
    ("key", "which", "weights", "phase"),
    [
        ("two_equal_arithmetic", [0, 1], None, "arithmetic"),
        ("two_equal_circular", [0, 1], None, "circular"),
        ("two_alpha_0.8_arithmetic", [0, 1], [0.8, 0.2], "arithmetic"),
        ("three_equal_arithmetic", [0, 1, 2], None, "arithmetic"),
        ("three_weights_0.5_0.3_0.2_circular", [0, 1, 2], [0.5, 0.3, 0.2], "circular"),
        ("one_modality_is_identity", [2], None, "arithmetic"),
    ],
)
def test_equation_4(key, which, weights, phase, reference, latents, to_complex, close):
    merged = merge_latents([latents[i] for i in which], weights, phase=phase)
    close(merged[0], to_complex(reference["eq4_merge"][key]["Z"]))


@pytest.fixture
def latents(reference, to_complex):
    case = reference["eq4_merge"]
    return [to_complex(case[k])[None] for k in ("Z1", "Z2", "Z3_values")]


@pytest.mark.parametrize("method", ["sum", "mean", "product"])
def test_other_operators(method, reference, latents, to_complex, close):
    expected = reference["eq4_merge"]["other_operators"][method]
    close(merge_latents(latents[:2], method=method)[0], to_complex(expected))


def test_geometric_and_complex_harmonic(latents, close):
    a, b = latents[0], latents[2]
    merged = merge_latents([a, b], method="geometric")
    polar = torch.polar((a.abs() * b.abs()).sqrt(), (a.angle() + b.angle()) / 2)
    close(merged, polar, 1e-9)
    both = (a != 0) & (b != 0)
    expected = torch.where(both, 2 * a * b / (a + b), 0)
    close(merge_latents([a, b], method="complex_harmonic"), expected, 1e-9)
    opposite = merge_latents([b, -b], method="complex_harmonic")
    assert torch.equal(opposite, torch.zeros_like(b))


def test_wrap_around(reference):
    case = reference["eq4_merge"]["wrap_around"]
    zs = [
        torch.polar(torch.ones(1, 1, 1).double(), torch.full((1, 1, 1), p).double())
        for p in case["phases"]
    ]
    assert float(merge_latents(zs).real) == pytest.approx(case["arithmetic_real"], abs=1e-6)
    circular = merge_latents(zs, phase="circular")
    assert float(circular.real) == pytest.approx(case["circular_real"], abs=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_official_weighting(share, reference):
    case = reference["eq4_merge"]["official_code_alpha"]
    zs = [torch.full((1, 1, 1), case[k], dtype=torch.complex128) for k in ("m1", "m2")]
    weights = [share, 1 - share]
    official = merge_latents(zs, weights, method="official_harmonic")
    assert float(official.real) == pytest.approx(case[f"a={share}"], abs=1e-9)
    ours = float(merge_latents(zs, weights).real)
    assert ours == pytest.approx(case[f"weighted_harmonic_mean a={share}"], abs=1e-9)


def test_additive_inverse(reference, gen, close):
    case = reference["eq4_merge"]["additive_inverse"]
    z = spectrum.transform(gen((1, 8), 0.35, 1.0), "2d")[None]
    merged = merge_latents([z, -z])
    assert float(spectrum.energy(merged, "2d") / spectrum.energy(z, "2d")) == pytest.approx(1.0)
    close(merged[0, 0, 1:4].real, case["real_part_bins_1_2_3"])
    assert float((merged * z.conj()).real.sum()) == pytest.approx(0.0, abs=1e-9)


def test_missing_modality(reference, latents, to_complex, close):
    case = reference["eq4_merge"]["missing_modality"]
    merged = merge_latents(latents, case["weights"], present=torch.tensor([case["present"]]))
    close(merged[0], to_complex(case["result"]["Z"]))


def test_slerp(reference, close, recwarn):
    cases = reference["slerp"]["cases"]
    assert len(cases) == 15
    for case in cases:
        a, b = (torch.tensor(case[k], dtype=torch.float64) for k in "ab")
        close(slerp(a, b, case["mu"]), case["result"])
    messages = [str(w.message) for w in recwarn.list]
    assert len(messages) == 1
    assert "cancel" in messages[0]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_three_heads(order, reference, gen, close):
    case = reference["slerp"]["n_heads_spherical_average"]
    tensors = [gen((2, 3), seed) for seed in (0.2, 1.0, 0.6)]
    merged = spherical_mean([tensors[i] for i in order], [case["weights"][i] for i in order])
    close(merged, case["result"])
    close(merged, sum(k * t for k, t in zip(case["coefficients"], tensors, strict=True)))


@pytest.mark.parametrize("width", [21, 256, 512, 2048])
def test_parameter_counts(width, reference):
    case = reference["parameter_counts"][f"E={width}"]

    def count(module):
        return sum(p.numel() for p in module.parameters())

    shared = LegoBlock(width, 4)
    attention = shared.attention[0]
    norms = count(attention.norm_query) + count(attention.norm_context)
    assert shared.latent.numel() == case["latent"]
    assert count(attention) - norms == case["attention"]
    assert norms == case["attention_norms"]
    assert count(shared.feed_forward[0]) == case["feed_forward_with_norm"]
    assert count(shared.head) == case["head"]
    assert count(shared) == case["total_shared_depth"]
    assert count(LegoBlock(width, 4, share_weights=False)) == case["total_depth4_unshared"]


def test_signal_interference(reference):
    case = reference["signal_interference"]
    k = torch.arange(case["n"], dtype=torch.float64)
    a = torch.sin(2.1 * k) + 0.7 * torch.cos(0.013 * k**2) + 0.3 * torch.cos(0.9 * k)
    b = -a + 0.1 * torch.sin(5.3 * k + 1)

    def square(cycles, shift=0.0):
        angle = 2 * torch.pi * cycles * (k + 0.5) / case["n"] + shift
        return torch.where(torch.sin(angle) >= 0, 1.0, -1.0).double()

    pairs = {
        "F5_additive_inverse": (a, b),
        "F6_square_5_phase_pi_over_2": (square(5), square(5, torch.pi / 2)),
    }
    for key, (first, second) in pairs.items():
        zs = [spectrum.transform(s[None, None], "2d") for s in (first, second)]
        inputs = (spectrum.energy(zs[0], "2d") + spectrum.energy(zs[1], "2d")) / 2
        assert float(spectrum.energy(merge_latents(zs), "2d") / inputs) == pytest.approx(
            case[key]["harmonic_energy_ratio"], abs=1e-6
        )
        mean = (first + second).square().sum() / 2 / (first.square() + second.square()).sum()
        assert float(mean) == pytest.approx(case[key]["mean_energy_ratio"], abs=1e-6)
