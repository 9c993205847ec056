"""The inpainting U-Net with a reference adapter in every transformer block."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from models.cat.adapter import RefAdapter, VisualPrompt


class Passed(nn.Module):
    """Hands the visual prompt on to the blocks as it is; stands where other models encode boxes."""

    def forward(self, ref: Any) -> Any:
        """The same object."""
        return ref


class CATUNet2DConditionModel(UNet2DConditionModel):  # type: ignore[misc]
    """Stable Diffusion's inpainting U-Net with adapters in the slot that blocks run after their self-attention.

    Call it with `cross_attention_kwargs={"gligen": {"ref": prompt}}`, where `prompt` is (B, N, ref_adapter_dim) or a
    `VisualPrompt`; without it the output is the stock U-Net's, bit for bit. Inputs (B, 9, h, w) are noisy latents,
    mask and masked latents in this order.
    """

    def __init__(self, ref_adapter_dim: int = 1024, **base: Any) -> None:
        super().__init__(**base)
        self.register_to_config(ref_adapter_dim=ref_adapter_dim)
        self.position_net = Passed()
        for index, block in enumerate(self._blocks()):
            block.fuser = RefAdapter(block.dim, block.attn1.heads, ref_adapter_dim, index)

    @classmethod
    def from_base(
        cls, unet: UNet2DConditionModel, ref_adapter_dim: int = 1024, seed: int = 0, zero_out: bool = False
    ) -> CATUNet2DConditionModel:
        """A copy of a stock U-Net with fresh adapters, drawn as the paper's were: PyTorch's own initialisation.

        zero_out: start with adapters that add nothing, so that training begins at the base's output; ours.
        """
        config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
        with torch.device("meta"):
            model = cls(ref_adapter_dim=ref_adapter_dim, **config)
        state = {key: value.detach().clone() for key, value in unet.state_dict().items()}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for name, module in model.named_modules():
                if isinstance(module, RefAdapter):
                    fresh = _fresh(module, zero_out).to(unet.device, unet.dtype)
                    state |= {f"{name}.{key}": value for key, value in fresh.state_dict().items()}
        model.load_state_dict(state, assign=True)
        return model.train(unet.training)  # type: ignore[no-any-return]

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> Any:
        """Load a folder with adapters; raises `ValueError` for one that lacks weights, as a stock U-Net's would.

        Without the check those adapters would hold whatever is in memory.
        """
        asked = options.pop("output_loading_info", False)
        model, loading = super().from_pretrained(*arguments, output_loading_info=True, **options)
        if missing := loading["missing_keys"]:
            raise ValueError(
                f"{len(missing)} weights are missing, {min(missing)} the first; from_base gives a stock U-Net adapters."
            )
        return (model, loading) if asked else model

    def adapters(self) -> list[RefAdapter]:
        """The adapters in the order they run; each one's `index` is its place here."""
        return [block.fuser for block in self._blocks()]

    def visual_prompt(self, prompt: Tensor, unconditional: int = 0, strength: float = 1.0) -> VisualPrompt:
        """The keys and values of `prompt` (B, N, ref_adapter_dim) for all adapters, as `cross_attention_kwargs` takes
        them; `unconditional` leading rows of the U-Net's batch get the zero prompt and are not part of `prompt`."""
        prompt = prompt.to(self.dtype)
        return VisualPrompt(tuple(a.keys_values(prompt) for a in self.adapters()), unconditional, strength)

    def _blocks(self) -> list[Any]:
        parts = [part for part in (self.down_blocks, self.mid_block, self.up_blocks) if part is not None]
        return [module for part in parts for module in part.modules() if isinstance(module, BasicTransformerBlock)]

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """What a saved config may hold: diffusers reads it off the signature, where `**base` hides the parent's."""
        keys = set(inspect.signature(input_class.__init__).parameters)  # type: ignore[misc]
        if issubclass(input_class, CATUNet2DConditionModel):
            keys |= set(inspect.signature(UNet2DConditionModel.__init__).parameters)
        return keys


def _fresh(like: RefAdapter, zero_out: bool) -> RefAdapter:
    """A newly drawn adapter on the CPU, whatever device `like` is on."""
    context_dim, dim = like.to_k.in_features, like.to_k.out_features
    fresh = RefAdapter(dim, like.heads, context_dim, like.index)
    if zero_out:
        for parameter in fresh.to_out.parameters():
            nn.init.zeros_(parameter)
    return fresh
