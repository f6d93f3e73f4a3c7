// Package backbone holds the encoders F: image in, feature vector out.
//
// # Vocabulary
//
//	backbone    F, a convolutional network without classifier
//	feature     h = F(x), the global average of the last feature map
//	stem        what comes before the first block
//	small stem  3×3 convolution of stride 1 without max-pool, for images of
//	            32–64 pixels; the ImageNet stem is 7×7 of stride 2 and a max-pool
//	width       channels of the stem and the first stage; 64 in the literature
//
// # Invariants
//
// State-dict keys, their order and the outputs are torchvision's, less the fc
// layer, for every backbone at width 64 with the ImageNet stem. Weights depend
// on (seed, key) alone.
//
//	b, err := backbone.New("resnet18", backbone.Config{Width: 16, SmallStem: true, Seed: 1})
//	h := b.Forward(x) // (N,3,S,S) float → (N, b.FeatureDim())
//
// A further backbone is a constructor in the registry of New.
package backbone
