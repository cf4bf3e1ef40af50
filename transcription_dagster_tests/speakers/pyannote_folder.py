"""A pipeline of pyannote.audio in a folder, laid out as community-1 is, without the weights that need an account.

The segmentation is segmentation-3.0. The network of voices has random weights, and so has the model of its scores.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyannote.audio
import torch
import yaml
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import WeSpeakerResNet34
from pyannote.audio.models.segmentation import PyanNet
from safetensors.torch import load_file

#: As the published pipeline is configured.
_CONFIG = {
    "pipeline": {
        "name": "pyannote.audio.pipelines.SpeakerDiarization",
        "params": {
            "clustering": "VBxClustering",
            "segmentation": "$model/segmentation",
            "segmentation_batch_size": 32,
            "embedding": "$model/embedding",
            "embedding_batch_size": 32,
            "embedding_exclude_overlap": True,
            "plda": "$model/plda",
        },
    },
    "params": {
        "clustering": {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8},
        "segmentation": {"min_duration_off": 0.0},
    },
}


def write_pipeline(folder: Path, segmentation: Path) -> None:
    """Write the pipeline; `segmentation` holds the weights of segmentation-3.0 as safetensors."""
    for name in ("segmentation", "embedding", "plda"):
        (folder / name).mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(_CONFIG))
    network = PyanNet(sincnet={"stride": 10}, lstm={"num_layers": 4}, linear={"hidden_size": 128, "num_layers": 2})
    network.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        warm_up=(0.0, 0.0),
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    network.build()
    network.load_state_dict(load_file(segmentation))
    _save(network, folder / "segmentation")
    torch.manual_seed(0)
    voices = WeSpeakerResNet34()
    voices.specifications = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0)
    voices.build()
    _save(voices, folder / "embedding")
    random = np.random.default_rng(0)
    lda = random.normal(size=(256, 128))
    np.savez(folder / "plda" / "xvec_transform.npz", mean1=np.zeros(256), mean2=np.zeros(128), lda=lda)
    np.savez(folder / "plda" / "plda.npz", mu=np.zeros(128), tr=np.eye(128), psi=np.linspace(4.0, 0.1, 128))


def _save(network: Any, folder: Path) -> None:
    """Save a network as pyannote's trainer does."""
    described = {
        "versions": {"torch": str(torch.__version__), "pyannote.audio": pyannote.audio.__version__},
        "architecture": {"module": type(network).__module__, "class": type(network).__name__},
        "specifications": network.specifications,
    }
    content = {
        "state_dict": network.state_dict(),
        "hyper_parameters": dict(network.hparams),
        "pytorch-lightning_version": "2.6.0",
        "pyannote.audio": described,
    }
    torch.save(content, folder / "pytorch_model.bin")
