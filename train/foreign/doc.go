// Package foreign finds encoders in the checkpoints of other projects, and gives them
// torchvision's keys.
//
// # Vocabulary
//
//	kind      a family of networks under one way of naming: ResNet's keys, torchvision's
//	          features, the children of a ResNet by number, timm's mobile networks, ConvNeXt's
//	          by its paper's code
//	prefix    what an encoder's keys begin with: "state_dict.module.encoder_q."
//	role      what a prefix says of its network: the student, that gradients move, or a
//	          network that follows it (teacher, momentum, target, key, EMA)
//
// # How
//
// A kind has a few keys that each of its encoders has. Every prefix behind which all of a
// kind's stand is an encoder, whatever the project calls it. Students go before those that
// follow them, unless the other is asked for. Where several different ones are left, none is
// guessed: the error lists them. Where there is none, it lists what the checkpoint has instead.
// What stands beside the encoder below its prefix is told apart: heads and the like are dropped,
// and what is neither is reported as unknown.
//
//	e, err := foreign.Read(path, foreign.Want{})   // tensors under torchvision's keys, float32
package foreign
