// Package packing recodes the pictures of a data set for `resslt shards`: JPEGs to packs
// that decode faster (augment/packed, augment/turbo), and packs back to their JPEGs.
//
//	codec     a way of recoding, by name: "dct", which is without loss
//	left      a picture that stays as it is, with the reason; nothing is lost by it
//
// Convert and Shrink are no codecs but choices about the data: 8-bit pictures of numbers, smaller
// pictures.
//
// What a codec writes is proved while it is written: every pack is restored, and the file
// compared byte for byte; of every so many pictures, all pixels are decoded from the pack and
// from the JPEG, and compared.
package packing
