"""The published adapter: a LoRA on FLUX's attention and three image tags, read, put on, taken off, written.

Layout: `adapter_config.json` and `adapter_model.safetensors` with PEFT's `base_model.model.` before each key.
diffusers' own loaders load nothing from it, or drop the tags, without an error; here a key that is missing,
unknown or of another shape is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.contract import MissingWeights
from models.dreamfuse.mask_tokens import MaskTokens

CONFIG, FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX, TAGS = "base_model.model.", "image_tag_embeddings.weight"
MASK_MODULES = ("mask_tokenizer.", "mask_attn.")
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
NAME = "dreamfuse"  # of the adapter within the transformer
UNSUPPORTED = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "layers_to_transform", "exclude_modules")


@dataclass(frozen=True, eq=False)
class Adapter:
    """LoRA matrices by key without prefix, the tag table (3, D), and the LoRA's rank, alpha and target names.

    `rank` 0 means that the transformer itself was trained and only the tags come from here. `mask` holds the
    mask tokenizer's weights where a file has them.
    """

    lora: Mapping[str, Tensor]
    tags: Tensor
    rank: int
    alpha: float
    targets: tuple[str, ...] = TARGETS
    mask: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.nbytes for t in (*self.lora.values(), *self.mask.values(), self.tags))

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        subfolder: str = "",
        revision: str | None = None,
        local_files_only: bool = False,
        torch_dtype: torch.dtype | None = None,
    ) -> Adapter:
        """Read a folder or a hub repository; raises `MissingWeights` for a file that is not such an adapter."""
        paths = [_file(source, subfolder, name, revision, local_files_only) for name in (CONFIG, FILE)]
        return _parsed(json.loads(paths[0].read_text()), load_file(paths[1]), torch_dtype)

    def save(self, folder: Path, base: str = "") -> None:
        """Write the published layout; `base` names the transformer it belongs to."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "peft_type": "LORA",
            "base_model_name_or_path": base,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "init_lora_weights": "gaussian",
            "target_modules": sorted(self.targets),
            "modules_to_save": ["image_tag_embeddings"],
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        tensors = {**self.lora, **self.mask, TAGS: self.tags}
        save_file({PREFIX + k: v.detach().cpu().contiguous() for k, v in tensors.items()}, folder / FILE)

    def check(self, transformer: Any) -> None:
        """Compare every key and shape with the modules of this transformer; raises `MissingWeights`."""
        expected = _expected(transformer, self.targets, self.rank) if self.rank else {}
        expected[TAGS] = (3, transformer.x_embedder.out_features)
        found = {k: tuple(v.shape) for k, v in {**self.lora, TAGS: self.tags}.items()}
        faults = [f"{k} is missing" for k in expected.keys() - found.keys()]
        faults += [f"{k} is unknown" for k in found.keys() - expected.keys()]
        faults += [
            f"{k} is {found[k]}, not {expected[k]}" for k in expected.keys() & found.keys() if found[k] != expected[k]
        ]
        if faults:
            shown = "; ".join(sorted(faults)[:3])
            raise MissingWeights(
                f"The DreamFuse adapter does not fit this transformer in {len(faults)} keys: {shown}. "
                "Use the adapter that was made for it."
            )

    def mask_tokens(self) -> MaskTokens:
        """The mask tokenizer with this adapter's weights; raises `MissingWeights` if it has none."""
        if not self.mask:
            raise MissingWeights(
                "These weights have no mask tokenizer; choose the variant positional-affine or direct-transform."
            )
        tags, channels = self.tags, self.mask["mask_tokenizer.3.weight"].shape[0]
        heads = tags.shape[1] // self.mask["mask_attn.norm_q.weight"].shape[0]
        tokens = MaskTokens(tags.shape[1], channels, heads)
        tokens.load_state_dict(dict(self.mask))
        return tokens.to(tags.dtype).eval().requires_grad_(False)


@contextmanager
def adapted(transformer: Any, adapter: Adapter) -> Iterator[Tensor]:
    """The adapter's LoRA on `transformer` while the context lasts, and its tag table; exactly stock afterwards."""
    if getattr(transformer, "peft_config", None):
        raise RuntimeError("The transformer already carries an adapter; take it off first.")
    adapter.check(transformer)
    if not adapter.rank:
        yield adapter.tags
        return
    try:
        _put_on(transformer, adapter)
        yield adapter.tags
    finally:
        transformer.unload_lora()


def _put_on(transformer: Any, adapter: Adapter) -> None:
    """Load the LoRA, then set each matrix anew in the transformer's compute dtype.

    PEFT takes over the dtype in which the base is stored, and that may be fp8. Inference mode is off here, since
    parameters made within it could not be used outside.
    """
    metadata = {"r": adapter.rank, "lora_alpha": adapter.alpha, "target_modules": list(adapter.targets)}
    with torch.inference_mode(False), torch.no_grad():
        transformer.load_lora_adapter(dict(adapter.lora), prefix=None, adapter_name=NAME, metadata=metadata)
        parameters, dtype = dict(transformer.named_parameters()), transformer.dtype
        for key, value in adapter.lora.items():
            held = parameters[key.removesuffix(".weight") + f".{NAME}.weight"]
            held.data = value.to(held.device, dtype)


def begin(transformer: Any, rank: int = 16, alpha: float = 16, targets: tuple[str, ...] = TARGETS) -> nn.Parameter:
    """Put a fresh, trainable LoRA on `transformer` (section 4: gaussian A, zero B); returns the tags (3, D), zero."""
    from peft import LoraConfig

    config = LoraConfig(r=rank, lora_alpha=int(alpha), init_lora_weights="gaussian", target_modules=list(targets))
    transformer.add_adapter(config, adapter_name=NAME)
    embedder = transformer.x_embedder
    return nn.Parameter(torch.zeros(3, embedder.out_features, device=embedder.weight.device))


def finish(transformer: Any, tags: Tensor) -> Adapter:
    """What `begin` put on and training changed, as an `Adapter`; the transformer keeps it."""
    from peft.utils import get_peft_model_state_dict

    config = transformer.peft_config[NAME]
    lora = get_peft_model_state_dict(transformer, adapter_name=NAME)
    lora = {key: value.detach().clone() for key, value in lora.items()}
    return Adapter(lora, tags.detach().clone(), config.r, config.lora_alpha, tuple(sorted(config.target_modules)))


def _file(source: str | Path, subfolder: str, name: str, revision: str | None, local_files_only: bool) -> Path:
    if Path(source).is_dir():
        return Path(source) / subfolder / name
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            str(source), name, subfolder=subfolder or None, revision=revision, local_files_only=local_files_only
        )
    )


def _parsed(config: Mapping[str, Any], state: Mapping[str, Tensor], dtype: torch.dtype | None) -> Adapter:
    odd = [name for name in UNSUPPORTED if config.get(name)]
    if odd or config.get("bias", "none") != "none" or "r" not in config:
        raise MissingWeights(f"{CONFIG} describes another kind of adapter ({', '.join(odd) or 'no plain LoRA'}).")
    foreign = [key for key in state if not key.startswith(PREFIX)]
    if foreign:
        raise MissingWeights(f"{FILE} is not in the published layout: {foreign[0]} does not start with {PREFIX}.")
    tensors = {k.removeprefix(PREFIX): v if dtype is None else v.to(dtype) for k, v in state.items()}
    if TAGS not in tensors:
        raise MissingWeights(f"{FILE} has no {PREFIX}{TAGS}; without the image tags the method does not work.")
    tags = tensors.pop(TAGS)
    mask = {k: tensors.pop(k) for k in list(tensors) if k.startswith(MASK_MODULES)}
    targets = config.get("target_modules") or ()
    return Adapter(tensors, tags, int(config["r"]), float(config["lora_alpha"]), tuple(targets), mask)


def _expected(transformer: nn.Module, targets: tuple[str, ...], rank: int) -> dict[str, tuple[int, int]]:
    """Keys and shapes of a LoRA on every linear layer whose name ends in one of the targets (PEFT's rule)."""
    shapes = {}
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and any(name == t or name.endswith("." + t) for t in targets):
            shapes[f"{name}.lora_A.weight"] = (rank, module.in_features)
            shapes[f"{name}.lora_B.weight"] = (module.out_features, rank)
    return shapes
