package train

// Provenance says what made a file: a summary or a checkpoint has it of the session that wrote it.
// No weight depends on it.
type Provenance struct {
	Build   string `json:"build,omitempty"`   // version, commit and platform of the program
	Command string `json:"command,omitempty"` // as it was typed, without secrets
	Host    string `json:"host,omitempty"`
	Started string `json:"started,omitempty"` // of the session, RFC 3339, UTC
}
