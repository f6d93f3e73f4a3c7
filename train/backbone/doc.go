// Package backbone has the encoders F, from image to feature vector.
//
// # Vocabulary
//
//	backbone    F, a network without classifier
//	feature     h = F(x), the global average of the last feature map; a transformer's is
//	            the class token, or the mean of the patches' tokens
//	stage       one of the modules that Forward composes; see Stages
//	stem        the layers before the first block
//	small stem  no downsampling before the second stage, for images of 32–64 pixels:
//	            in ResNet a 3×3 convolution of stride 1 replaces the 7×7 one of stride
//	            2 and the max-pool; in EfficientNet and MobileNetV3 the stem and
//	            features.2 have stride 1; in ConvNeXt a 3×3 convolution of stride 1 replaces
//	            the 4×4 one of stride 4. All map a 32-pixel image to a 4×4 map
//	            A Vision Transformer has none: it takes a small patch instead
//	patch       a square of a transformer's image, which becomes a token; its side is in
//	            the name, in pixels
//	positions   a transformer's learnt embedding of where a token is, for one size of
//	            images; resized for others
//	width       64 is the published network; other widths scale every layer's channels
//	            by width/64, rounded to multiples of 8 where torchvision does so
//
// # Networks
//
//	name                 parameters  features  stages (stem, blocks, … global average)
//	resnet18                 11.2 M       512  10
//	resnet34                 21.3 M       512  18
//	resnet50                 23.5 M      2048  18
//	wide_resnet50_2          66.8 M      2048  18
//	efficientnet_b0           4.0 M      1280  19
//	efficientnet_b1           6.5 M      1280  26
//	mobilenet_v3_large        3.0 M       960  18
//	convnext_tiny            27.8 M       768  23
//	convnext_small           49.5 M       768  41
//	convnext_base            87.6 M      1024  41
//	vit_tiny_patch16          5.5 M       192  14 (and patch4, patch8, patch14)
//	vit_small_patch16        21.7 M       384  14
//	vit_base_patch16         85.8 M       768  14
//
// # Invariants
//
// For every backbone at width 64 with the ImageNet stem, the state-dict keys, their
// order and the outputs are torchvision's without the classifier; of a ConvNeXt's the layer norm
// of the averages, classifier.0, is the encoder's, as in timm. Initial weights
// depend only on (seed, key) and have torchvision's distributions.
//
// SimCLR's and SwAV's wider ResNets, "2×", are those of width 128; wide_resnet50_2 is wider inside
// its blocks alone.
//
// Batch norm's constants are torchvision's (MobileNetV3: ε 0.001, momentum 0.01).
// Transformers' heads have width channels each, unless there are others than the published number
// (Config.Heads). Their keys are torchvision's, with ls_1 and
// ls_2 for LayerScale, and in training with a counter of batches in every block that
// stochastic depth may drop (TrainingOnly), as has ConvNeXt.
//
// What Config.Frozen names needs no gradient; a batch norm that it names keeps its statistics.
//
// Stochastic depth (EfficientNet, ConvNeXt, transformers) is off by default; its masks are a function of seed,
// layer and the number of batches seen, see nn.StochasticDepth. Dropout belongs to the
// classifier, which is not here.
//
//	b, err := backbone.New("resnet18", backbone.Config{Width: 16, SmallStem: true, Seed: 1})
//	h := b.Forward(x) // (N,3,S,S) float → (N, b.FeatureDim())
//
// A new backbone is one file with a constructor, a line in New's registry, and a line in
// the table above.
package backbone
