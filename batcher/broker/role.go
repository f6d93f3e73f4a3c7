package broker

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"resslt/schemas"
)

// Role is what a process may do in its tenant's account of a locked-down broker.
// The lists of Permissions are the whole truth: `resslt keys` writes the broker's
// configuration from them, and a test lets every role do its work under it.
type Role string

const (
	// RoleWorker takes tasks, and publishes chunks, its heartbeat and stop notices.
	// It makes and deletes no stream.
	RoleWorker Role = "worker"
	// RoleTrainer manages the runs' streams, and publishes tasks, specs and
	// leases. It publishes no chunk and takes no task.
	RoleTrainer Role = "trainer"
	// RoleObserver reads: `resslt status`, `resslt doctor`, a dashboard.
	RoleObserver Role = "observer"
	// RoleReader with a run and a name behind it (Reader) reads that run's chunks, and holds
	// a lease under that name, so that the run waits for it: a training loop in Python. It
	// sees no other run, and makes no consumer, which could be told to deliver anywhere.
	RoleReader Role = "reader"
	// RoleOwner may do everything in its tenant's account, and nothing outside:
	// `resslt record import`, `resslt bench transport`, a repair by hand.
	RoleOwner Role = "owner"
)

// Roles are all of them that every tenant has. Readers are one for each run and name.
func Roles() []Role { return []Role{RoleWorker, RoleTrainer, RoleObserver, RoleOwner} }

// Reader is the role of a reader of a run under a trainer's name.
func Reader(run, name string) Role { return RoleReader + "." + Role(run) + "." + Role(name) }

// reader gives run and name of a Reader; not ok for any other role.
func (r Role) reader() (run, name string, ok bool) {
	p := strings.Split(string(r), ".")
	if len(p) != 3 || p[0] != string(RoleReader) || schemas.CheckRunName(p[1]) != nil || schemas.CheckRunName(p[2]) != nil {
		return "", "", false
	}
	return p[1], p[2], true
}

// Guest reports whether the role has an account of its own next to its tenant's, which
// reaches into this by what Permissions name and by nothing else: JetStream answers on
// whatever subject a request names, with the broker's rights, and so a permission alone
// keeps nobody from having an answer put where it is a task, or an order to delete. A
// guest's answers stay in its own account. Trainer and owner manage the tenant's streams,
// and are trusted with all of them.
func (r Role) Guest() bool {
	_, _, reads := r.reader()
	return reads || r == RoleWorker || r == RoleObserver
}

// Permissions are subjects as a nats-server has them: what may be published and
// subscribed to, and what of the former may not, all the same.
type Permissions struct {
	Publish, DenyPublish, Subscribe []string
}

// The JetStream API as subjects. A stream's name is one token there, so that a
// permission cannot distinguish CTRL_ from BATCH_; what a role may do to streams, it may do
// to all of its account. Consumers can be distinguished.
const (
	apiInfo       = "$JS.API.INFO"
	apiNames      = "$JS.API.STREAM.NAMES"
	apiStreamInfo = "$JS.API.STREAM.INFO.*"
	apiMsgGet     = "$JS.API.STREAM.MSG.GET.*"
	apiDirectGet  = "$JS.API.DIRECT.GET.*"   // by sequence, or several
	apiDirectLast = "$JS.API.DIRECT.GET.*.>" // by subject
	apiTaskInfo   = "$JS.API.CONSUMER.INFO.*." + schemas.WorkersConsumer
	apiTaskNext   = "$JS.API.CONSUMER.MSG.NEXT.*." + schemas.WorkersConsumer
	taskAck       = "$JS.ACK.*." + schemas.WorkersConsumer + ".>"
	taskAckV2     = "$JS.ACK.*.*.*." + schemas.WorkersConsumer + ".>" // with domain and account ahead
	taskAdvisory  = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*." + schemas.WorkersConsumer
)

var reading = []string{apiInfo, apiNames, apiStreamInfo, apiMsgGet, apiDirectGet, apiDirectLast, apiTaskInfo}

// Permissions of the role, sorted by what they are for.
func (r Role) Permissions() Permissions {
	if run, name, ok := r.reader(); ok {
		return readerPermissions(run, name, r.inbox()+".>")
	}
	listen := []string{r.inbox() + ".>", schemas.AllCtrl("*")}
	may := func(more ...string) []string { return append(reading[:len(reading):len(reading)], more...) }
	switch r {
	case RoleWorker:
		return Permissions{
			Publish: may(apiTaskNext, taskAck, taskAckV2,
				schemas.AllChunks("*"), schemas.WorkerSubject("*", "*"), schemas.StopSubject("*")),
			Subscribe: listen,
		}
	case RoleTrainer:
		return Permissions{
			Publish: may("$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*", "$JS.API.STREAM.DELETE.*", "$JS.API.STREAM.PURGE.*", "$JS.API.STREAM.MSG.DELETE.*",
				"$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DURABLE.CREATE.*.*", "$JS.API.CONSUMER.INFO.*.*", "$JS.API.CONSUMER.DELETE.*.*", "$JS.API.CONSUMER.MSG.NEXT.*.*",
				schemas.AllTasks("*"), schemas.SpecSubject("*"), schemas.OptionsSubject("*"), schemas.TrainerSubject("*", "*")),
			DenyPublish: []string{apiTaskNext},
			Subscribe:   append(listen, taskAdvisory),
		}
	case RoleObserver:
		return Permissions{Publish: may(), Subscribe: listen}
	case RoleOwner:
		return Permissions{Publish: []string{">"}, Subscribe: []string{">"}}
	}
	return Permissions{}
}

// readerPermissions are those of a reader: two streams, each by its name, and one lease. It
// asks for messages by direct gets, which leave nothing behind in the broker.
func readerPermissions(run, name, inbox string) Permissions {
	var p Permissions
	for _, stream := range []string{schemas.BatchStream(run), schemas.CtrlStream(run)} {
		for _, api := range []string{apiStreamInfo, apiDirectGet, apiDirectLast} {
			p.Publish = append(p.Publish, strings.Replace(api, "*", stream, 1))
		}
	}
	p.Publish = append(p.Publish, schemas.TrainerSubject(run, name))
	p.Subscribe = []string{inbox, schemas.AllCtrl(run)}
	return p
}

// Reach is what a guest's account takes from its tenant's: the services that it may ask,
// and the subjects that it may subscribe to.
func (r Role) Reach() (services, subjects []string) {
	if !r.Guest() {
		return nil, nil
	}
	p := r.Permissions()
	return p.Publish, slices.DeleteFunc(p.Subscribe, func(s string) bool { return strings.HasPrefix(s, r.inbox()) })
}

// AnswersSeveral reports whether a request to one of the services that guests reach may be
// answered by several messages.
func AnswersSeveral(service string) bool { return service == apiDirectGet }

// inbox is where answers to a role's requests come. Roles do not share it, so that
// none reads what was meant for another.
func (r Role) inbox() string {
	if r == "" {
		return nats.InboxPrefix[:len(nats.InboxPrefix)-1]
	}
	return nats.InboxPrefix + string(r)
}
