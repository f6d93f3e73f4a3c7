// Package ingest opens data sets: each is a numbered list of undecoded images that is
// identified by its content, and has orders to visit them in. It decodes nothing
// (augment does). Only package store knows where bytes come from, a disk, a bucket or a
// web server, so that every scheme works with every place:
// wds:s3://bucket/train-{000..099}.tar, cifar10:https://host/cifar, folder:gs://b/x.
//
//	src, err := ingest.Open(ctx, "folder:/data/imagenet", ingest.Options{})
//	order := ingest.NewOrder(seed, src.Len()) // or ingest.OpenOrder(spec)
//	for index := range src.Len() {
//		err := src.Read(ctx, order.At(epoch, index), &sample)
//	}
//
// # Vocabulary
//
//	source     an opened data set; Read returns sample id, 0 ≤ id < n
//	split      train, test; val, train+val or unlabeled where a set has them
//	shard      a unit of content with a hash: a tar, one file of a binary set, or a class folder
//	manifest   format, split, n, class names, shards: the digest is taken of it
//	digest     SHA-256 of the manifest's JSON: the data set's identity in a run spec
//	candidate  a file that is a sample by its name; the decoder finds out whether it is an image
//	survey     what a reader passed over, by reason: nothing is dropped in silence
//	index      where each sample of a folder or of shards is stored; cached on disk
//	sidecar    the manifest that Pack writes next to its shards
//	order      the permutation of [0, n) that an epoch follows: global (order.go) or
//	           blocked (blocked.go), which reads shards in long runs; of a mixture,
//	           which draws from several sets by weight, mixorder.go; of data with mates
//	           mateorder.go
//	mate       of a sample: another one that is like it, by a file; visited next to it
//	position   where in the order a sample is visited
//	store      opens files: local, s3://, gs://, https://, with a cache of remote files
//	stamp      size, time, last change (of a local file: inode and ctime) and version
//	           (ETag) that a file had when it was indexed
//
// # Formats
//
//	scheme                file        samples are stored as      n, labels from
//	fashion-mnist, mnist  idx.go      gray, HW, gzipped or not   header; labels file
//	cifar10, cifar100     cifar.go    RGB planes, row by row     exact file sizes; in the row
//	stl10                 stl10.go    RGB planes, by column      exact file sizes; labels file
//	folder                folder.go   image files                the tree; the class folder
//	wds                   wds.go      image files in a tar       the members; .cls, .json, …
//	parquet               parquet.go  encoded bytes in pages     columns image {bytes, path} and label
//	imagenet-tar          ilsvrc.go   JPEG in a tar of tars      the class tars, by synset; devkit for test
//	food101, dtd, pets,   transfer.go JPEG files                 the official lists of the split;
//	aircraft, cars,                                              cars and flowers: MAT-files (package mat)
//	flowers, caltech101                                          caltech101: drawn, 30 a class
//	voc2007               voc.go      JPEG files                 ImageSets; XML, several an image (MultiLabel)
//	mix                   mix.go      those of several sets      the sets, in their order; classes by name
//	mates                 mates.go    those of a set             the set; each sample's mates from a file
//
// # One more format
//
// Write an opener (formats.go) in a file of its own and add its line to the table in
// formats.go: Open, help texts, pipeline and the commands then know it. Most formats are
// a description and some code over one of four sources:
//
//	files of rows without a header   binarySet (binary.go), as cifar.go: name the files
//	                                 and their sizes; served by rawSource (raw.go)
//	image files named by lists       fileListSet (filelist.go), as voc.go: read the lists
//	                                 by a listReader; served by folderSource
//	a folder of images               folderSource (folder.go): folderlayout.go plans over a
//	                                 folderTree, on a disk (folderwalk.go) or remote (folderremote.go)
//	shards that are indexed          a scanner (shards.go) lists the samples of one shard;
//	                                 served by shardFiles, as wds.go and parquet.go
//
// What they share is decided once: the split in split.go, which split a name means in
// splitname.go, which files are samples in candidate.go, what a URI names in folderuri.go
// and globliteral.go, how names become text in name.go, hashes and caches of indexes in
// foldersums.go and index.go, tars in tarwalk.go. A fixture in fixtures_test.go gives the format the conformance suite.
//
// Raw sets come out as RawGray (H,W) or RawRGB (H,W,3) uint8, interleaved; the others as
// Encoded bytes, untouched: a text file named x.jpg is a sample, which the decoder will
// refuse.
//
// # Invariants
//
//   - Equal digests mean equal samples under equal ids with equal labels, whatever
//     the path, the machine or the number of workers. All names are relative; a
//     gzipped IDX file counts by its content.
//   - Any changed byte of any image, label or class name changes the digest.
//   - Sample ids follow names, bytewise: of shards, and of files within a class.
//     In a tar they follow the members.
//   - A file that changed after Open is refused by Read if its size or time show it;
//     by Confirm if they do not and a decoder refuses its bytes; else found by Verify.
//   - A file of a large folder that changed before Open, after it was indexed, in a way that its
//     folder's time does not show, is refused by Read if its size, time, inode or last change
//     show it and its bytes are others. The next Open indexes it anew.
//   - What Read returns is a fault of a store, and says nothing of the sample, but for one
//     of a size above the cap (schemas.BadSample).
//   - What cannot be indexed fails Open, by name. What is no sample (hidden and empty
//     files, other extensions, links back up the tree) is in the Survey.
//   - Names of shards and classes, and keys, are UTF-8 (name.go); names within an index
//     are the bytes of the disk.
//   - Lengths that a file claims are checked against its size before memory is
//     allocated.
//
// # Tars
//
//	wdsglob.go    the shards that a glob names; wdsfolder.go those of a folder; splitfiles.go
//	              the split that a file's name says; fileset.go which files are of one set
//	wdstar.go     scans a tar; tarwalk.go its headers
//	wdsgroup.go   members to samples: WebDataset's rule, and what it would lose
//	wdslabel.go   labels: numbers, names, keys of .json; names are numbered over all shards
//	wdsfields.go  ?image=FIELD&label=FIELD
//
// # The index
//
// An index is built once, by reading every byte (the digest needs them all), and kept
// under Options.CacheDir:
//
//	open:   load the cached index; check its SHA-256
//	        list the files, with sizes and times          about 4 µs a file
//	        of a folder of 50,000 samples and more: not those of class folders in
//	        which no folder's own time and last change are others (folderkept.go);
//	        they are looked at 10 s after, in the background
//	        files with the same name, size, time and last change, and not
//	        written within 2 s of indexing, keep their hashes
//	        hash the others, in parallel; scan new tars
//	        if anything was new: write temp → fsync → rename
//
// In memory a sample takes its name and 28 bytes in a folder (name's end 4, size 4,
// label 4, start of its SHA-256 16) and 20 in a tar (offset 8 instead of the hash): some
// 60 MB for ImageNet's 1.28 M, without a map or pointer for each sample. The cache file
// has the same columns; cache (index.go) documents its layout. A file that fails its
// check sum is built again, never believed.
//
// # Shards
//
// Pack writes any Source as WebDataset tars that other loaders read too:
//
//	PREFIX-000000.tar      000000000.jpg 000000000.cls 000000001.jpg …
//	PREFIX.manifest.json   the manifest: class names, each shard's SHA-256
//
// Reads are random (ReadAt at the member's offset), so shards need no shuffling: the
// global order shuffles every epoch. Where that is too expensive, for a remote set larger
// than the cache, the blocked order fetches shards whole and in turn; Pack's Shuffle then
// compensates for its weaker mixing.
//
// WriteManifest writes PREFIX.index next to the manifest. Opened by the manifest's name,
// shards are neither listed nor read to be indexed:
//
//	open:  manifest, index             two small files
//	read:  a range of a shard, or, to keep it, all of it, checked by its SHA-256
//
// # Multi-label sets
//
// VOC2007's Source is a MultiLabel: Marks gives +1, 0 or −1 for each class, and
// Sample.Label is NoLabel. The marks are part of the digest.
//
// FGVC-Aircraft's images have a banner of 20 rows at the bottom; they are returned
// unchanged, as by torchvision.
package ingest
