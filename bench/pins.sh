#!/bin/bash
# The peers of PyPI that more than one comparison installs, in the versions that are measured.
# Sourced: peers_images are what augments pictures, peers_torch is PyTorch's part of them.
peers_torch=(torch==2.15.0 torchvision==0.29.2 pillow==13.0.0)
# shellcheck disable=SC2034 # for those who source this
peers_images=("${peers_torch[@]}" albumentationsx==2.5.1 opencv-python-headless==5.0.0.93 nvidia-dali-cuda130==2.4.0)
