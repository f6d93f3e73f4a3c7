// Package timm writes an encoder as a folder that timm loads:
//
//	model.safetensors   timm's keys (train/foreign), no classifier
//	config.json         architecture, model_args and pretrained_cfg, as a model on a hub has it
//	preprocess.json     the transform of the images, for programs that are not timm
//
//	timm.create_model("local-dir:FOLDER", pretrained=True)
//
// timm's MobileNetV3 has a convolution behind the average, conv_head, whatever num_classes is; in
// torchvision it is a part of the classifier, and no encoder of ours has it. It is written as
// the identity, so that the file is complete: features are forward_features(x).mean((2, 3)).
package timm
