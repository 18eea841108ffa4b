"""Encoders: own ones and those of timm, with weights from folders and from a hub's cache; turns; dropout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rosse.errors import FileError, InputError, OptionError
from rosse.nets.dropout import Dropout, has_dropout, thinned
from rosse.nets.encoders import OWN, EncoderSpec, build_encoder, check_side, turned

SMALLEST = "test_resnet"  # of timm: 0.5 million parameters


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_own_encoders_take_any_bands_and_sizes(name: str, bands: int) -> None:
    encoder = build_encoder(EncoderSpec(name=name, bands=bands)).eval()
    for side in (24, 33, 64):
        assert encoder(torch.zeros(2, bands, side, side)).shape == (2, encoder.features)


@pytest.mark.parametrize("turns", [4, 8])
def test_averaged_features_do_not_change_with_turns(turns: int) -> None:
    torch.manual_seed(1)
    encoder = build_encoder(EncoderSpec(name="tiny", bands=2, turns=turns)).eval()
    x = torch.randn(3, 2, 32, 32, generator=generator())
    with torch.no_grad():
        views = torch.stack([encoder(turned(x, number)) for number in range(turns)])
    assert torch.allclose(views, views[:1].expand_as(views), atol=1e-5)
    with torch.no_grad():
        single = build_encoder(EncoderSpec(name="tiny", bands=2)).eval()
        assert not torch.allclose(single(x), single(turned(x, 1)), atol=1e-5)


def test_the_eight_views_are_the_turns_of_a_square() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert len({tuple(turned(x, number).flatten().tolist()) for number in range(8)}) == 8


def test_any_encoder_of_timm_by_name() -> None:
    pytest.importorskip("timm")
    encoder = build_encoder(EncoderSpec(name=SMALLEST, bands=4, arguments={"drop_path_rate": 0.1})).eval()
    assert encoder(torch.zeros(2, 4, 64, 64)).shape == (2, encoder.features)
    with pytest.raises(OptionError, match="unknown encoder 'convnext_nanno'; did you mean 'convnext_nano'"):
        build_encoder(EncoderSpec(name="convnext_nanno"))
    with pytest.raises(OptionError, match="does not take these arguments"):
        build_encoder(EncoderSpec(name=SMALLEST, arguments={"colour": 3}))


def weights_folder(folder: Path) -> torch.nn.Module:
    """A model of timm as hubs keep it: `config.json` and `model.safetensors`."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(7)
    model = timm.create_model(SMALLEST, num_classes=0, in_chans=3)
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    about = {"architecture": SMALLEST, "num_classes": 0, "num_features": model.num_features,
             "pretrained_cfg": {"input_size": [3, 64, 64], "num_classes": 0, "first_conv": "conv1.0",
                                "classifier": "fc", "fixed_input_size": False}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(about))
    return model.eval()


def test_pretrained_weights_come_from_a_folder_and_need_no_hub_afterwards(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    truth = weights_folder(tmp_path / "encoder")
    encoder = build_encoder(EncoderSpec(name=f"local-dir:{tmp_path / 'encoder'}"), pretrained=True).eval()
    x = torch.randn(2, 3, 64, 64, generator=generator())
    with torch.no_grad():
        assert torch.equal(encoder(x), truth(x))
    assert encoder.spec.name == SMALLEST  # can be built again without the folder
    again = build_encoder(encoder.spec)
    again.load_state_dict(encoder.state_dict())


def test_pretrained_weights_adapt_to_other_numbers_of_bands(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    weights_folder(tmp_path / "encoder")
    name = f"local-dir:{tmp_path / 'encoder'}"
    three, one = (build_encoder(EncoderSpec(name=name, bands=bands), pretrained=True) for bands in (3, 1))
    first = next(value for value in three.state_dict().values() if value.ndim == 4)
    grey = next(value for value in one.state_dict().values() if value.ndim == 4)
    assert torch.allclose(grey, first.sum(1, keepdim=True), atol=1e-6)


def test_names_of_a_hub_are_found_in_its_cache(tmp_path: Path) -> None:
    """As for ``hf-hub:mwalmsley/zoobot-encoder-convnext_nano``: the same files in the hub's own cache, no network."""
    pytest.importorskip("timm")
    store = tmp_path / "hub" / "models--mwalmsley--zoobot-encoder-test"
    weights_folder(store / "snapshots" / "abc")
    (store / "refs").mkdir()
    (store / "refs" / "main").write_text("abc")
    code = (
        "import torch\n"
        "from rosse.nets.encoders import EncoderSpec, build_encoder\n"
        "spec = EncoderSpec(name='hf-hub:mwalmsley/zoobot-encoder-test')\n"
        "encoder = build_encoder(spec, pretrained=True).eval()\n"
        "print(encoder.spec.name, encoder(torch.ones(1, 3, 64, 64)).sum().item())\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name, value = done.stdout.split()
    import timm
    from safetensors.torch import load_file

    model = timm.create_model(SMALLEST, num_classes=0).eval()
    model.load_state_dict(load_file(store / "snapshots" / "abc" / "model.safetensors"))
    with torch.no_grad():
        assert float(value) == pytest.approx(float(model(torch.ones(1, 3, 64, 64)).sum()), rel=1e-4)
    assert name == SMALLEST


def test_missing_weights_are_one_clear_error(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    with pytest.raises(FileError, match=r"cannot be loaded .*the network or its files"):
        build_encoder(EncoderSpec(name=f"local-dir:{tmp_path / 'nowhere'}"), pretrained=True)
    with pytest.raises(OptionError, match="no pretrained weights"):
        build_encoder(EncoderSpec(name="small"), pretrained=True)


def test_images_that_an_encoder_cannot_take_are_refused() -> None:
    pytest.importorskip("timm")
    encoder = build_encoder(EncoderSpec(name="test_vit", bands=3))
    with pytest.raises(InputError, match="does not take images of 50 pixels"):
        check_side(encoder, 50)


@pytest.mark.parametrize("wrong", [{"bands": 0}, {"turns": 3}])
def test_impossible_specs_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"bands|turns"):
        EncoderSpec(**wrong)  # type: ignore[arg-type]


def test_a_draw_of_dropout_is_one_network_for_all_galaxies() -> None:
    network = torch.nn.Sequential(Dropout(0.4), torch.nn.Identity(), Dropout(0.4)).eval()
    x = torch.ones(5, 1000)
    with thinned(network, 3):
        first, second = network(x), network(x[:2])
    assert torch.equal(first, first[:1].expand_as(first))
    assert torch.equal(first[:2], second)
    assert float((first > 0).float().mean()) == pytest.approx(0.36, abs=0.06)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.15)
    with thinned(network, 4):
        assert not torch.equal(network(x), first)
    assert torch.equal(network(x), x)
    assert has_dropout(network)
    assert not has_dropout(torch.nn.Sequential(Dropout(0.0)))


def test_dropout_in_training_differs_from_galaxy_to_galaxy() -> None:
    layer = Dropout(0.5).train()
    torch.manual_seed(0)
    out = layer(torch.ones(4, 100))
    assert not torch.equal(out[0], out[1])
