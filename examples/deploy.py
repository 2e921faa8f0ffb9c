"""One network, chosen by hand: trained a little, split, exported for this machine on both sides, run and measured."""

from pathlib import Path

import numpy as np

import splitkit as sk

space, system = sk.load_space("tiny"), sk.load_system("demo")
data: sk.Dataset = sk.load_dataset("digits", space)
schedule: sk.TrainConfig = sk.default_train_config(space).model_copy(update={"steps": 30})
sk.train(space, data, schedule, Path("supernet.pt"))
supernet = sk.load_supernet(Path("supernet.pt"), space).supernet

architecture: sk.Architecture = sk.Sampler(space.restricted("split"), np.random.default_rng(0)).uniform()
network = sk.describe(space, architecture)
print(f"{architecture}: sends {network.payload_bytes} bytes a frame")
subnetwork = sk.extract(supernet, architecture, sk.calibration_images(data.train))
sk.fine_tune(subnetwork, data.train, data.augmentation, schedule.model_copy(update={"steps": 10}))
bundle: sk.Bundle = sk.export(
    subnetwork, system, data.search.images[:64].numpy(), "bundle", classes=data.classes, pixels=data.pixels
)
measured = sk.bench(sk.load_bundle("bundle"), frames=20)
print(bundle.id[:12], {stage: round(us, 1) for stage, us in measured.medians().items()})
