package session

import (
	"context"

	"resslt/cmd/internal/runreport"
	"resslt/schemas"
)

// reporting writes the run's page. Weights and summary do not depend on it.
func reporting(_ context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	return &subscriber{finished: func(ctx context.Context) {
		if err := runreport.Write(ctx, l.plan.Out); err != nil {
			l.warn(err)
		}
	}}, nil
}
