// Package backbone holds the encoders F: image in, feature vector out.
//
// # Vocabulary
//
//	backbone    F, a convolutional network without classifier
//	feature     h = F(x), the global average of the last feature map
//	stage       a part of the network between two cuts; Forward composes them
//	stem        what comes before the first block
//	small stem  no halving before the second stage, for images of 32–64 pixels:
//	            ResNet's 7×7 convolution of stride 2 and max-pool become a 3×3 of
//	            stride 1; EfficientNet and MobileNetV3 lose the strides of the stem
//	            and of features.2. A 32-pixel image ends as a 4×4 map in each
//	width       64 is the published network; others scale every layer's channels by
//	            width/64, rounded to multiples of 8 where torchvision does that
//
// # Networks
//
//	name                 parameters  features  stages (stem, blocks, … global average)
//	resnet18                 11.2 M       512  10
//	resnet34                 21.3 M       512  18
//	resnet50                 23.5 M      2048  18
//	efficientnet_b0           4.0 M      1280  19
//	efficientnet_b1           6.5 M      1280  26
//	mobilenet_v3_large        3.0 M       960  18
//
// # Invariants
//
// State-dict keys, their order and the outputs are torchvision's, less the
// classifier, for every backbone at width 64 with the ImageNet stem. Initial
// weights depend on (seed, key) alone, by torchvision's distributions.
//
// Batch norm's constants are torchvision's (MobileNetV3: ε 0.001, momentum 0.01).
// EfficientNet's stochastic depth is off unless the configuration asks for it: its
// masks are a function of seed, layer and the number of batches seen, see
// nn.StochasticDepth. Dropout is the classifier's, which is not here.
//
//	b, err := backbone.New("resnet18", backbone.Config{Width: 16, SmallStem: true, Seed: 1})
//	h := b.Forward(x) // (N,3,S,S) float → (N, b.FeatureDim())
//
// A further backbone is a constructor in the registry of New.
package backbone
