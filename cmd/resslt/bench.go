package main

import "github.com/spf13/cobra"

func newBenchCommand() *cobra.Command {
	c := &cobra.Command{Use: "bench", Short: "measure a part: augmentation, input, transport, serving or the training step"}
	c.AddCommand(newBenchStepCommand(), newBenchStreamCommand(), newBenchTransportCommand(), newBenchLoaderCommand(), newBenchAugmentCommand(), newBenchServeCommand())
	return c
}
