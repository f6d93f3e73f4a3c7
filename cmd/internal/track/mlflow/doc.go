// Package mlflow tracks a run on an MLflow server, by its documented REST interface
// (/api/2.0/mlflow): an experiment, a run with the recipe's keys as parameters, the scalars as
// metrics by step, and the run's page as an artifact.
//
// As with MLflow's own client, MLFLOW_TRACKING_URI is the server where none is named,
// MLFLOW_EXPERIMENT_NAME the experiment ("resslt" by default), and MLFLOW_TRACKING_USERNAME with
// MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, log in.
//
// MLflow has a point once however often it is sent, as long as step, time and value are the
// same, so a part whose answer was lost is sent again. Parameters can't be changed: they are those
// of the run's beginning; tags are each session's. Artifacts go through the server (mlflow-artifacts:);
// where it has them elsewhere, the page stays in the run's folder.
package mlflow
