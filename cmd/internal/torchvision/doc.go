// Package torchvision writes what PyTorch needs of an encoder beside its weights:
//
//	load.py           the network, whatever its width and stem, and the images' transform, as code
//	preprocess.json   the same transform as torchvision's and timm's configuration
//
// The weights themselves are a safetensors file with torchvision's keys, whose metadata say what
// load.py has to know.
package torchvision
