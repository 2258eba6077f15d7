"""Reads the event file of a run as TensorBoard does, and says what is in it.

    python benches/peers/read_events.py RUN        (needs tensorboard)
"""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "histograms": 0})
events.Reload()
tags = events.Tags()
for tag in tags["scalars"]:
    values = events.Scalars(tag)
    steps = [value.step for value in values]
    assert steps == sorted(set(steps)), f"{tag} has steps twice: {steps}"
    print(f"{tag}: {len(values)} values, the last {values[-1].value:.6g} at step {values[-1].step}")
for tag in tags["images"]:
    print(f"{tag}: pictures at steps {[image.step for image in events.Images(tag)]}")
for tag in tags["histograms"]:
    last = events.Histograms(tag)[-1]
    print(f"{tag}: {last.histogram_value.num:.0f} values from {last.histogram_value.min:.3g} to {last.histogram_value.max:.3g} at step {last.step}")
data = plugin_data_pb2.HParamsPluginData.FromString(events.PluginTagToContent("hparams")["_hparams_/session_start_info"])
print("hyper-parameters:", ", ".join(sorted(data.session_start_info.hparams)))
