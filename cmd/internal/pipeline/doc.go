// Package pipeline is the wiring that resslt and augmentd share: it joins
// ingest, augment and batcher, which do not know one another.
//
//	recipe ── Spec ──► schemas.RunSpec        what the batches depend on
//	RunInfo ── OpenSource ──► produce.Source  a worker's view of a run: order, and makers that read, draw and render
//	data URI ── OpenImages ──► eval.Source     un-augmented images for probes and features
//	source ── NewViews ──► eval.Views          crops and flips, anew every epoch, for classifiers
package pipeline
