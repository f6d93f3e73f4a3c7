// Command resslt pre-trains image encoders without labels by ReSSL. Each verb
// has a file of its own.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/manual"
	"resslt/cmd/internal/version"
)

func main() {
	root := newRootCommand()
	if cli.Completing(os.Args) {
		completeAll(root)
	}
	os.Exit(cli.Main(root))
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "resslt",
		Short: "self-supervised pre-training of image encoders by ReSSL",
		Long: `resslt pre-trains image encoders without labels by ReSSL (relational
self-supervised learning). Workers decode and augment, NATS JetStream carries
the views, libtorch trains; every batch is a pure function of the run's spec.

Begin with   resslt run --recipe quickstart`,
		Version: version.String(),
	}
	cli.GlobalFlags(root)
	root.AddCommand(
		newRunCommand(), newTrainCommand(), newSweepCommand(), newServeCommand(), newRecordCommand(), newInspectCommand(), newReportCommand(), newRunsCommand(), newCompareCommand(), newPaperCommand(), newWebCommand(), newGCCommand(),
		newEvalCommand(), newEmbedCommand(), newExportCommand(), newConvertCommand(), newShardsCommand(), newRecipeCommand(),
		newBenchCommand(), newDoctorCommand(), newStatusCommand(), newFarmCommand(), newKeysCommand(), newVersionCommand(), newCompletionCommand(), manual.Command(),
	)
	return root
}
