package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"garrison"
	"garrison/client"
	"garrison/evidence"
	"garrison/internal/cases"
	"garrison/internal/duties"
	"garrison/internal/identity"
	"garrison/internal/ledger"
	"garrison/internal/measures"
	"garrison/internal/records"
	"garrison/internal/registry"
	"garrison/internal/state"
)

// Records is what the API needs of the record store.
type Records interface {
	Append(ctx context.Context, b *records.Batch) (records.Ack, error)
	Trace(ctx context.Context, q garrison.Question) (garrison.Answer, error)
	Coverage(ctx context.Context, p garrison.Period) (garrison.Coverage, error)
	Sources(ctx context.Context) ([]garrison.SourceStatus, error)
	Samples(ctx context.Context, source string) ([]garrison.RefusedLine, error)
	Prove(ctx context.Context, c garrison.Candidate) (records.ProvenRecord, error)
	Forecast(ctx context.Context) (records.Forecast, error)
}

// Ledger is what the API needs of the log.
type Ledger interface {
	Status(ctx context.Context) (ledger.Status, error)
	Entry(ctx context.Context, index uint64) ([]byte, error)
	Receipt(ctx context.Context, ref garrison.EvidenceRef) (evidence.Receipt, error)
	Checkpoint(ctx context.Context) ([]byte, error)
	PublicKey() string
}

// Identity is what the API needs to know who asks.
type Identity interface {
	CheckToken(ctx context.Context, secret identity.Secret) (identity.Principal, error)
	Session(ctx context.Context, token identity.Secret) (identity.Session, error)
	CreateToken(ctx context.Context, role identity.Role, name string, expires time.Time, by garrison.Actor) (identity.Secret, identity.Token, error)
	Tokens(ctx context.Context) ([]identity.Token, error)
	RevokeToken(ctx context.Context, id garrison.TokenID, by garrison.Actor) error
	Accounts(ctx context.Context) ([]identity.Account, error)
}

// Registry is what the API needs of the register.
type Registry interface {
	Create(ctx context.Context, s garrison.Subject, by garrison.Actor) (garrison.Subject, error)
	Update(ctx context.Context, s garrison.Subject, by garrison.Actor) (garrison.Subject, error)
	Retire(ctx context.Context, id garrison.SubjectID, by garrison.Actor) error
	Get(ctx context.Context, id garrison.SubjectID) (garrison.Subject, error)
	List(ctx context.Context, f registry.Filter) (list []garrison.Subject, next string, err error)
	Profile(ctx context.Context) (registry.Profile, error)
	SetProfile(ctx context.Context, p registry.Profile, by garrison.Actor) error
	LineFor(ctx context.Context, inside netip.Addr) (garrison.Subject, bool)
	SourceFor(ctx context.Context, sender netip.Addr) (garrison.Subject, bool)
}

// Measures is what the API needs of the runner.
type Measures interface {
	States(ctx context.Context) ([]measures.MeasureState, error)
	Rule(id garrison.RuleID) (measures.Rule, bool)
	SetState(ctx context.Context, m garrison.MeasureID, mode measures.Mode, reason string, by garrison.Actor) error
	RunNow(ctx context.Context, m garrison.MeasureID, s garrison.SubjectID, by garrison.Actor) (garrison.Run, error)
	Enqueue(ctx context.Context, m garrison.MeasureID, s garrison.SubjectID, by garrison.Actor) (garrison.RunID, error)
	Runs(ctx context.Context, f measures.RunFilter) ([]measures.RunRow, string, error)
	Run(ctx context.Context, id garrison.RunID) (measures.RunRow, []measures.Item, error)
	Transcript(ctx context.Context, id garrison.RunID) ([]byte, error)
	Findings(ctx context.Context, f measures.FindingFilter) ([]measures.FindingRow, string, error)
	Finding(ctx context.Context, id garrison.FindingID) (measures.FindingRow, error)
	Refute(ctx context.Context, id garrison.FindingID, reason string, by garrison.Actor) error
	Inventory(ctx context.Context, s garrison.SubjectID) ([]measures.LinkRow, error)
}

// Cases is what the API needs of the cases.
type Cases interface {
	List(ctx context.Context, f cases.Filter) ([]cases.Case, string, error)
	Get(ctx context.Context, id garrison.CaseID) (cases.Case, []cases.Step, error)
	Act(ctx context.Context, id garrison.CaseID, a cases.Action, by cases.By) (cases.Case, error)
}

// Duties is what the API needs of the clauses.
type Duties interface {
	Catalogue() *duties.Catalogue
	Refresh(ctx context.Context) (duties.Snapshot, error)
	Duty(ctx context.Context, id garrison.DutyID) (garrison.Duty, error)
	Export(ctx context.Context, id garrison.DutyID, w io.Writer) error
}

// History is what the API needs of the state database.
type History interface {
	History(ctx context.Context, kind, id string) ([]state.Version, error)
}

// Deps are the parts the API stands on. All are required but Demo and Log.
type Deps struct {
	Records  Records
	Ledger   Ledger
	Identity Identity
	Registry Registry
	Measures Measures
	Cases    Cases
	Duties   Duties
	State    History

	Verify     func(ctx context.Context) (client.Verification, error)
	Conditions func(ctx context.Context) []client.Condition
	DemoFill   func(ctx context.Context, by garrison.Actor) error
	DemoClear  func(ctx context.Context, by garrison.Actor) (int, error)
	// Text returns the catalogue's text of a key in a language; "" when there is none.
	Text    func(lang, key string, args map[string]any) string
	Version string
	Log     *slog.Logger
	Now     func() time.Time
}

// API is the HTTP interface.
type API struct {
	deps    Deps
	huma    huma.API
	handler http.Handler
	perms   map[string]string // operation id -> permission; "" is open on purpose
	faults  []error           // found while the operations were declared
	named   named
}

// New declares all operations. It fails when one names no permission.
func New(deps Deps) (*API, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{deps: deps, perms: map[string]string{}, named: named{known: map[string]map[string]bool{}}}
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("Garrison", contractVersion)
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.CreateHooks = nil // no $schema links made from the Host header
	cfg.Transformers = []huma.Transformer{a.ownProblem}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "garrison token create --role ROLE"},
		"session": {Type: "apiKey", In: "cookie", Name: SessionCookie, Description: "the console's session"},
	}
	cfg.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	cfg.Info.Description = "Everything the console does can be done here. Errors are problems (RFC 9457) with a code of: " +
		"invalid, unauthorized, denied, notFound, conflict, tooLarge, unavailable, held, damaged."
	a.huma = humago.New(mux, cfg)
	a.huma.UseMiddleware(a.permit)
	a.declare()
	a.describeProblems()
	if err := a.faulty(); err != nil {
		return nil, err
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.noSuchPath(w, r)
	})
	a.handler = a.authenticate(mux)
	return a, nil
}

// Handler serves everything under /api/.
func (a *API) Handler() http.Handler { return a.handler }

// contractVersion is the version of the contract, not of the program: it changes when
// the contract does.
const contractVersion = "1.0.0"

// Contract returns the OpenAPI document; it needs no running parts.
func (a *API) Contract() ([]byte, error) {
	raw, err := a.huma.OpenAPI().MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write the contract: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", " "); err != nil {
		return nil, fmt.Errorf("write the contract: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Document returns the contract without any part of an installation.
func Document() ([]byte, error) {
	a, err := New(Deps{})
	if err != nil {
		return nil, err
	}
	return a.Contract()
}

func (a *API) declare() {
	a.declareOpen()
	a.declareRecords()
	a.declareRegistry()
	a.declareMeasures()
	a.declareCases()
	a.declareDuties()
	a.declareLedger()
	a.declareAccess()
}
