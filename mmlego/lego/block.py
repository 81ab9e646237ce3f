"""LegoBlock: one modality, with or without an encoder, as a latent of a shape shared by all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmlego.errors import SettingsError
from mmlego.lego import checks, spectrum
from mmlego.lego.attention import CrossAttention, FeedForward
from mmlego.lego.head import Head
from mmlego.lego.profiles import choose, count, number, resolve
from mmlego.lego.reading import Reading, clean, run_encoder


class LegoBlock(nn.Module):
    """One modality, encoded into a frequency-domain latent (b, c, d) and read out as logits (b, k).

    The latent is read and updated in the frequency domain: its real part attends to the transformed
    data in every pass, its imaginary part is carried along.

    Source: MM-Lego, section 3.1, Eq. 2 and 3. The paper leaves heads, biases, epsilon and weight
    sharing open; profile ``"official"`` follows the authors' code, ``"lossless"`` reads all of the
    data (``"paper"`` reads Re F(h), which holds only the even part of h).

    Args:
        enc_dim: Features per token that the attention reads: the width of the encoder's
            output, or of the data where there is no encoder. Checked on every forward.
        n_outputs: Number of logits k (classes, or time bins).
        encoder: Module from x to (b, e) or (b, n, e), or None. One with a true attribute
            ``takes_mask`` is called with ``mask=mask``.
        latent_channels: Rows c of the latent.
        latent_dim: Width d of the latent.
        depth: Number of passes.
        heads: Attention heads.
        dim_head: Width of one head.
        ff_mult: Inner width of the feed-forward as a multiple of d.
        attn_dropout: Dropout on attention weights, in [0, 1).
        ff_dropout: Dropout on the feed-forward's output, in [0, 1).
        share_weights: One set of weights for all passes, or one per pass; None takes the
            profile's (True, but False in ``"official"``).
        freeze: ``"none"``; ``"encoder"``: the encoder is not trained and stays in eval mode;
            ``"all"``: the whole block is not trained and stays in eval mode.
        profile: ``"paper"``, ``"official"`` or ``"lossless"``.
        fft_axes: Override of the profile, as are the next seven; see ``profiles.Knobs``.
        context: Part of F(data) that is read.
        normalise: Scale the latent to unit norm before each pass.
        track_imaginary: Carry the imaginary part.
        frequency_domain: False switches all transforms off.
        spatial_state: ``"complex"`` or ``"real"`` state between passes.
        temperature: Divides the attention scores.
        leaky_projection: LeakyReLU after the attention's output projection.
        outputs: Names of the logits (classes, or time bins with their edges), compared when
            blocks are merged or fused.
        name: Name of the modality, for messages.

    Raises:
        SettingsError: If an option is unknown or out of range.
    """

    l1_exempt = ("latent",)

    def __init__(
        self,
        enc_dim: int,
        n_outputs: int,
        *,
        encoder: nn.Module | None = None,
        latent_channels: int = 17,
        latent_dim: int = 126,
        depth: int = 4,
        heads: int = 8,
        dim_head: int = 64,
        ff_mult: int = 4,
        attn_dropout: float = 0.45,
        ff_dropout: float = 0.36,
        share_weights: bool | None = None,
        freeze: str = "none",
        profile: str = "paper",
        fft_axes: str | None = None,
        context: str | None = None,
        normalise: bool | None = None,
        track_imaginary: bool | None = None,
        frequency_domain: bool | None = None,
        spatial_state: str | None = None,
        temperature: float | None = None,
        leaky_projection: bool | None = None,
        outputs: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        """Check the options and build the parameters."""
        super().__init__()
        sizes = {
            "enc_dim": enc_dim,
            "n_outputs": n_outputs,
            "latent_channels": latent_channels,
            "latent_dim": latent_dim,
            "depth": depth,
            "heads": heads,
            "dim_head": dim_head,
            "ff_mult": ff_mult,
        }
        _check_options(sizes, encoder, freeze, attn_dropout, ff_dropout)
        self.knobs = resolve(
            profile,
            fft_axes=fft_axes,
            context=context,
            normalise=normalise,
            track_imaginary=track_imaginary,
            frequency_domain=frequency_domain,
            spatial_state=spatial_state,
            temperature=temperature,
            leaky_projection=leaky_projection,
            share_weights=share_weights,
        )
        self.sizes = sizes
        self.enc_dim, self.n_outputs, self.depth = enc_dim, n_outputs, depth
        self.attn_dropout, self.ff_dropout = float(attn_dropout), float(ff_dropout)
        self.freeze, self.profile, self.name = freeze, profile, name
        self.outputs = _check_outputs(outputs, n_outputs)
        self.encoder = encoder
        self._build_layers()
        self._freeze()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (b, k) of one modality.

        Args:
            x: (b, c) or (b, n, c), or whatever the encoder takes. The order of tokens matters,
                since they are Fourier transformed: sort patches by row and column, time steps by
                time.
            mask: (b, n) bool, True where a token is valid. Padding has no influence.

        Raises:
            ShapeError: If a shape is wrong or a valid entry is not finite.
            ModalityError: If a sample has no valid token.
        """
        if self.head is None:
            raise SettingsError("block: its head was merged into a LegoFuse; call that")
        real, _ = self._run(x, mask, None)
        return self.head(real)

    def encode(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        state: Tensor | None = None,
        *,
        literal: bool = False,
    ) -> Tensor:
        """Frequency-domain latent after the last pass, complex (b, c, d).

        Args:
            x: As in ``forward``.
            mask: As in ``forward``.
            state: Spatial latent (b, c, d), real or complex, to start from; None starts from
                ``latent``.
            literal: Go back and forth between the domains in every pass, as the equations are
                printed. The default stays in the frequency domain, where F(F^-1(.)) is the
                identity and the norm follows from Parseval's theorem; the result is the same.
        """
        real, imaginary = self._run(x, mask, state, literal=literal)
        return torch.complex(real, imaginary.expand_as(real))

    def start(self, rows: int) -> Tensor:
        """The trainable start latent, expanded to (rows, c, d)."""
        return self.latent.expand(rows, -1, -1)

    def read(self, x: Tensor, mask: Tensor | None = None) -> Reading:
        """Run the encoder and the data transform, once; the result serves every pass."""
        trained = self.freeze == "none"
        with checks.named(self.name):
            x = clean(x, mask)
            h, mask = run_encoder(self.encoder, x, mask, enc_dim=self.enc_dim, trained=trained)
        context = self.knobs.context if self.knobs.frequency_domain else "spatial"
        h = h.to(self.latent.dtype)
        h, mask = spectrum.read_data(h, mask, axes=self.knobs.fft_axes, context=context)
        return Reading(cast("Sequence[CrossAttention]", self.attention), h, mask)

    def step(self, state: Tensor, reading: Reading, index: int) -> Tensor:
        """Pass ``index`` on a spatial state (b, c, d): normalize, transform, attend, feed forward.

        Returns the frequency-domain latent, complex (b, c, d); ``invert`` leads back.
        """
        if not self.knobs.frequency_domain:
            real = state.real if state.is_complex() else state
            real = self._update(real, reading, index)
            return torch.complex(real, torch.zeros_like(real))
        if self.knobs.normalise:
            state = spectrum.normalize(state, self.knobs.fft_axes)
        z = spectrum.transform(state, self.knobs.fft_axes)
        real = self._update(z.real, reading, index)
        return torch.complex(real, z.imag if self.knobs.track_imaginary else torch.zeros_like(real))

    def invert(self, z: Tensor) -> Tensor:
        """Spatial state (b, c, d) of a frequency-domain latent, by this block's own settings."""
        if not self.knobs.frequency_domain:
            return z.real
        state = spectrum.invert(z, self.knobs.fft_axes)
        return state.real if self.knobs.spatial_state == "real" else state

    def config(self) -> dict[str, Any]:
        """Plain values that rebuild the block, apart from its encoder."""
        knobs = {field: getattr(self.knobs, field) for field in self.knobs.__dataclass_fields__}
        return {
            **self.sizes,
            "attn_dropout": self.attn_dropout,
            "ff_dropout": self.ff_dropout,
            "freeze": self.freeze,
            "profile": self.profile,
            **knobs,
            "outputs": None if self.outputs is None else list(self.outputs),
            "name": self.name,
        }

    def train(self, mode: bool = True) -> LegoBlock:
        """Switch to training mode, except for what is frozen."""
        super().train(mode and self.freeze != "all")
        if self.encoder is not None and self.freeze == "encoder":
            self.encoder.eval()
        return self

    def extra_repr(self) -> str:
        """Settings shown by ``print(block)``."""
        latent = "x".join(map(str, self.latent.shape))
        return f"latent={latent}, depth={self.depth}, profile={self.profile!r}"

    def _build_layers(self) -> None:
        width, outputs = self.sizes["latent_dim"], self.sizes["n_outputs"]
        mult, dropout = self.sizes["ff_mult"], self.ff_dropout
        self.latent = nn.Parameter(torch.randn(self.sizes["latent_channels"], width))
        copies = range(1 if self.knobs.share_weights else self.depth)
        self.attention = nn.ModuleList(self._new_attention() for _ in copies)
        self.feed_forward = nn.ModuleList(
            FeedForward(width, mult=mult, dropout=dropout) for _ in copies
        )
        self.head: Head | None = Head(width, outputs)

    def _new_attention(self) -> CrossAttention:
        doubled = self.knobs.context == "concat" and self.knobs.frequency_domain
        return CrossAttention(
            self.sizes["latent_dim"],
            self.enc_dim * (2 if doubled else 1),
            heads=self.sizes["heads"],
            dim_head=self.sizes["dim_head"],
            dropout=self.attn_dropout,
            temperature=self.knobs.temperature,
            leaky=self.knobs.leaky_projection,
        )

    def _freeze(self) -> None:
        if self.freeze == "all":
            self.requires_grad_(False)
        elif self.encoder is not None and self.freeze == "encoder":
            self.encoder.requires_grad_(False)
        self.train()

    def _run(
        self, x: Tensor, mask: Tensor | None, state: Tensor | None, *, literal: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of the final latent; the latter may lack the batch axis."""
        reading = self.read(x, mask)
        if state is not None:
            checks.state(state, reading.rows, self.latent.shape)
        if self.knobs.frequency_domain and self.knobs.spatial_state == "complex" and not literal:
            return self._run_in_frequency(reading, self.latent[None] if state is None else state)
        z = self._run_literally(reading, self.start(reading.rows) if state is None else state)
        return z.real, z.imag

    def _run_literally(self, reading: Reading, state: Tensor) -> Tensor:
        z = self.step(state, reading, 0)
        for index in range(1, self.depth):
            z = self.step(self.invert(z), reading, index)
        return z

    def _run_in_frequency(self, reading: Reading, state: Tensor) -> tuple[Tensor, Tensor]:
        # Only the scale of the imaginary part ever changes, so one factor per sample stands for it.
        axes, knobs = self.knobs.fft_axes, self.knobs
        z = spectrum.transform(state, axes)
        real, fixed = z.real, z.imag
        fixed_energy = spectrum.energy(fixed, axes)
        gain: Tensor | float = 1.0
        size = z[0].numel() if axes == "2d" else z.shape[-2]
        for index in range(self.depth):
            if knobs.normalise:
                # Parseval: the squared norm of the spatial latent is that of its transform / size.
                total = spectrum.energy(real, axes) + gain**2 * fixed_energy
                factor = torch.rsqrt(total / size + spectrum.TINY)
                real, gain = real * factor, gain * factor
            real = self._update(real.expand(reading.rows, -1, -1), reading, index)
            if not knobs.track_imaginary:
                gain = 0.0
        return real, fixed * gain

    def _update(self, real: Tensor, reading: Reading, index: int) -> Tensor:
        index = 0 if self.knobs.share_weights else index
        real = real + self.attention[index](real, reading.memory(index))
        return real + self.feed_forward[index](real)


def _check_options(
    sizes: dict[str, int], encoder: object, freeze: str, attn_dropout: float, ff_dropout: float
) -> None:
    for key, value in sizes.items():
        count(key, value)
    for key, rate in (("attn_dropout", attn_dropout), ("ff_dropout", ff_dropout)):
        number(key, rate, low=0.0, high=0.999999)
    choose("freeze", freeze, ("none", "encoder", "all"))
    if encoder is not None and not isinstance(encoder, nn.Module):
        raise SettingsError(f"encoder: expected a torch module, got {type(encoder).__name__}")
    if encoder is None and freeze == "encoder":
        raise SettingsError('freeze="encoder": the block has no encoder; use freeze="none"')


def _check_outputs(outputs: Sequence[str] | None, n_outputs: int) -> tuple[str, ...] | None:
    if outputs is None:
        return None
    if isinstance(outputs, str) or len(outputs) != n_outputs or len(set(outputs)) != n_outputs:
        raise SettingsError(f"outputs: expected {n_outputs} distinct names, got {outputs!r}")
    return tuple(str(item) for item in outputs)
