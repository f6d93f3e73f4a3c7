// Package augment draws and renders the views of a sample: from an image file and a key
// to (S,S,3) pixels, by a policy that is data. It knows nothing of networks, data sets
// or training.
//
// # Vocabulary
//
//	policy    what may be drawn for each view: operations and their ranges
//	view      one S×S picture made from every sample, for the teacher or the student
//	key       (seed, epoch, sample): with the view's number, all that a draw depends on
//	plan      every random number of one view, drawn beforehand, as integers
//	box       the rectangle of the source picture that a view is cut from
//	step      a drawn operation after crop and resize: flip, blur, …
//	engine    a decoder and kernels that define the pixels, with a name and version
//	painter   an engine's buffers, for one goroutine
//	renderer  policy + painter: samples in, pixels and plans out
//
// # Draw, then render
//
//	renderer.Render(sample, key):
//	    w, h  = painter.Open(sample)             header only; limits are checked here
//	    plans = Draw(policy, v, key, w, h)       for every view v; pixels are not needed
//	    painter.Decode(union of the plans' Source)   once for all views
//	    painter.Paint(plan)                      for every view: crop, resize, steps
//
// Draw is a pure function: PCG, seeded by SHA-256 of the key. Paint has no randomness. So
// from a recorded plan, of 15 to 80 bytes, Renderer.Replay renders the same pixels again.
//
// # Invariants
//
//   - A view's bytes depend only on engine, policy, key and the sample's bytes: not on
//     the worker, or on what it rendered before.
//   - Draw uses only float64 operations that every architecture rounds alike (see
//     portable_math.go), and gives integers. Where a product is added to something, a
//     conversion to float64 around it keeps the compiler from fusing the two
//     (deploy/arm64.sh looks for fused ones).
//   - The reference kernels ("ref") are integer arithmetic: equal bytes on every
//     architecture. They are Pillow's 8-bit kernels as torchvision calls them, equal to
//     the byte for the same parameters (parity_test.go), except the blur, which is a
//     true Gaussian cut at 3σ where PIL's is three box blurs.
//   - The operations of timm_rand_augment are timm's to the byte (timm_test.go): those that
//     interpolate are float64, in Pillow's order with each operation rounded.
//   - resize_center_crop gives the bytes of torchvision's Resize and CenterCrop on a PIL
//     picture, by every engine on what it decoded (supervised_test.go); turbo decodes JPEG
//     as PIL does. Its plan has a window: the S×S that it keeps of the resized box, of
//     which only what they need is decoded (Plan.Source).
//   - The error of a faulty sample is a schemas.BadSample, which only decode.go makes, and
//     names its key. Its text is in chunks, under their digests, so that it changes with an
//     engine's version alone (kinds_test.go); limits are checked before anything is decoded or allocated.
//
// # Fixed-point formats
//
//	factor of brightness, contrast, saturation, sharpness   Q14, 0 … 4
//	blur's σ                                                Q16 pixels
//	affine maps                                             Q16
//	hue shift                                               256ths, modulo 256
//	resampling coefficients                                 Q22, 8-bit picture between passes
//	blur's weights                                          Q14, Q6 between passes
//	luma                                                    Q16 (19595, 38470, 7471)
//
// # Engines
//
// ref is the definition: Go's decoders and this package's kernels. gift crops and resizes
// with github.com/disintegration/gift, whose float32 arithmetic is the same only in
// builds for one target, so its name includes the target. Other packages add engines by
// RegisterEngine, as package turbo does with libjpeg-turbo and SIMD. The engine's name is
// in the run spec; a worker without that engine refuses the run (EngineByName). Versions
// of one engine differ in the formats that they decode (Formats), and in nothing else.
//
// # What decoding does
//
// The first bytes give the format, never the name: JPEG (grey, YCbCr, RGB, CMYK and YCCK,
// also Adobe's inverted ones; baseline and progressive), PNG (8 and 16 bits, palette,
// alpha), WebP, and those of package raster: BMP, GIF, PNM, TIFF. Everything becomes 8-bit RGB: alpha is dropped, not blended; of 16 bits
// the upper 8 are kept; EXIF orientation is ignored, as by torchvision's loader. JPEG
// chroma is upsampled by libjpeg's triangle filter (chroma.go), so that pixels are within
// 3/255 of libjpeg's.
//
// # Writing a policy
//
//	name: mine
//	views:
//	  - name: weak
//	    role: teacher              # teacher or student
//	    size: 32
//	    ops:                       # a crop or resize first, then any others, in order of application
//	      - random_resized_crop: {scale: [0.2, 1], ratio: [0.75, 1.33], filter: bilinear}
//	      - flip                   # p 0.5
//	  - name: strong
//	    role: student
//	    size: 32
//	    count: 2                   # two such views, strong1 and strong2
//	    ops:
//	      - resize: {filter: bicubic}          # or center_crop: {fraction: 0.875}
//	                                           # or resize_center_crop: {resize: 256, filter: bilinear},
//	                                           #    of the resized picture the central size×size
//	      - padded_crop: {padding: 4}          # torchvision's RandomCrop(size, padding), black outside
//	      - color_jitter: {p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}
//	      - grayscale: {p: 0.2}
//	      - gaussian_blur: {p: 0.5, sigma: [0.1, 2]}
//	      - solarize: {p: 0.1, threshold: 128}
//	      - rand_augment: {n: 5, m: 10, p: 0.5}       # CLSA's law
//	      - torchvision_rand_augment: {n: 2, m: 9}    # RandAugment(n, m); m of 31, nearest
//	      - trivial_augment_wide                      # TrivialAugmentWide()
//	      - timm_rand_augment: {n: 2, m: 9, mstd: 0.5, increasing: true}   # rand-m9-n2-mstd0.5-inc1; m of 10.
//	                                           #    Keys p (0.5), fill ([124, 116, 104]) and filter (either, drawn)
//	limits: {max_pixels: 100000000, max_bytes: 67108864, max_side: 32767}
//
// A policy may have one view and no teacher's, as those for supervised training and
// evaluation do. The presets in presets/ are such files; each names the source of its numbers.
package augment
