"""Losses of other projects for witness.py: files of their packages, without the packages, which
import training frameworks that are not there. What such a file takes from a framework, a base class
or a decorator, has a stand-in; what it computes is its own."""

import importlib
import os
import sys
import types
from importlib.machinery import PathFinder

import torch


def package(name, **attributes):
    """A stand-in for a package, with these of its names."""
    module = sys.modules.setdefault(name, types.ModuleType(name))
    vars(module).update(attributes)


def alone(name):
    """A module, its packages being folders whose __init__ is not run."""
    top, *rest = name.split(".")
    root = os.path.dirname(PathFinder.find_spec(top).origin)
    for i in range(len(rest)):
        package(".".join([top, *rest[:i]]), __path__=[os.path.join(root, *rest[:i])])
    return importlib.import_module(name)


def undecorated(*_args, **_options):
    return lambda x: x


class BaseModule(torch.nn.Module):
    def __init__(self, init_cfg=None):
        super().__init__()


registry = types.SimpleNamespace(register_module=undecorated)

# OpenMMLab's and Meta's frameworks.
package("mmcv")
package("mmcv.runner", BaseModule=BaseModule)
package("mmcv.cnn", build_norm_layer=lambda cfg, channels: ("norm", torch.nn.Identity()))
package("mmselfsup.models.builder", HEADS=registry, NECKS=registry)
package("mmselfsup.models.utils", accuracy=lambda scores, labels: None)
package("classy_vision")
package("classy_vision.generic")
package("classy_vision.generic.distributed_util", all_reduce_mean=None, gather_from_all=None, get_rank=lambda: 0)
package("classy_vision.generic.util", is_pos_int=None)
package("classy_vision.losses", ClassyLoss=torch.nn.Module, register_loss=undecorated)
package("vissl.config", AttrDict=dict)
package("pl_bolts.utils.stability", under_review=undecorated)

barlow_loss_func = alone("solo.losses.barlow").barlow_loss_func
byol_loss_func = alone("solo.losses.byol").byol_loss_func
DINOLoss = alone("solo.losses.dino").DINOLoss
moco_loss_func = alone("solo.losses.moco").moco_loss_func
nnclr_loss_func = alone("solo.losses.nnclr").nnclr_loss_func
ressl_loss_func = alone("solo.losses.ressl").ressl_loss_func
simclr_loss_func = alone("solo.losses.simclr").simclr_loss_func
simsiam_loss_func = alone("solo.losses.simsiam").simsiam_loss_func
swav_loss_func = alone("solo.losses.swav").swav_loss_func
vicreg_loss_func = alone("solo.losses.vicreg").vicreg_loss_func
SinkhornKnopp = alone("solo.utils.sinkhorn_knopp").SinkhornKnopp

DistillationLoss = alone("lightly_train._methods.distillation.distillation_loss").DistillationLoss
alone("pl_bolts.models.vision.pixel_cnn")
CPCTask = alone("pl_bolts.losses.self_supervised_learning").CPCTask

ContrastiveHead = alone("mmselfsup.models.heads.contrastive_head").ContrastiveHead
ClsHead = alone("mmselfsup.models.heads.cls_head").ClsHead
RelativeLocNeck = alone("mmselfsup.models.necks.relative_loc_neck").RelativeLocNeck

nce = alone("vissl.losses.nce_loss")

ce_loss = alone("semilearn.core.criterions.cross_entropy").ce_loss
consistency_loss = alone("semilearn.core.criterions.consistency").consistency_loss
package("semilearn.core.hooks", Hook=alone("semilearn.core.hooks.hook").Hook)
package("semilearn.algorithms.utils", smooth_targets=None)
FixedThresholdingHook = alone("semilearn.algorithms.hooks.masking").FixedThresholdingHook
PseudoLabelingHook = alone("semilearn.algorithms.hooks.pseudo_label").PseudoLabelingHook
