// Command order measures how well an order mixes and how it reads: the blocked
// order compared with the global one, on a data set of ImageNet's size in shards.
//
//	go run ./bench/order [-n 1281167] [-classes 1000] [-shards 1000] [-batch 1024]
//
// The columns:
//
//	distance    mean distance of two neighbours of the order as they lie in the data
//	            set, in units of n; 1/3 for a random order
//	entropy     of the classes in a batch, in units of what a random order gives
//	rank        Spearman's correlation of the samples' places in two epochs; about 0
//	shards      that a batch reads from, mean
//	run         samples that lie together in a shard and are visited within a window
//	            of one another (global: within a batch), mean
//	ns          a look-up, At
//
// sorted: shards hold one class after the other, as folders and pack leave them;
// shuffled: as pack --shuffle leaves them.
package main
