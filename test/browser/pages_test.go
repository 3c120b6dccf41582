package browser_test

import (
	"net/url"
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/services/api/directustest"
)

// shown is one page in one state.
type shown struct {
	Name string
	// Path is below the project's webhooks, or a whole one.
	Path string
	// Project is the gallery's unless another is named.
	Project string
	// As is who looks; the zero value is a host.
	As visitor
	// Do brings the page into the state; nil when it is there at once. It is done in
	// both languages, once in each look.
	Do func(b *tab)
	// Fails says that the server cannot do better; the browser complains of that, too.
	Fails bool
}

// below is the path of a page of one webhook.
func (g gallery) below(state, path string) string { return "/" + g.webhooks[state].ID + path }

// pages are all pages in all of their states. A new page belongs here, and a new state
// of one: what a template says only sometimes is looked at as well.
func (g gallery) pages() []shown {
	var all []shown
	for _, part := range [][]shown{
		g.overviews(), g.forms(), g.summaries(), g.tests(), g.secrets(), g.putRights(), g.logs(), g.deliveries(), g.statistics(), g.developers(),
		g.signIns(), g.frozen(), g.refusals(),
	} {
		all = append(all, part...)
	}
	return all
}

func (g gallery) overviews() []shown {
	return []shown{
		{Name: "overview", Path: ""},
		{Name: "overview-empty", Path: "", Project: "empty"},
		{Name: "overview-alone", Path: "", Project: directustest.ProjectID(directustest.Legacy), As: legacy()},
		{Name: "overview-names", Path: "", Project: g.project + "-names"},
		{Name: "overview-many", Path: "", Project: g.project + "-many"},
		{Name: "overview-none", Path: "?show=failing", Project: g.project + "-chat"},
		{Name: "overview-deleted", Path: "?done=deleted", Project: g.project + "-chat"},
		{Name: "overview-switched-off", Path: "?done=off", Project: g.project + "-replays"},
		{Name: "overview-switched-on", Path: "?done=on", Project: g.project + "-slow"},
	}
}

func (g gallery) forms() []shown {
	return []shown{
		{Name: "new", Path: "/new"},
		{Name: "new-suggestion", Path: "/new", Do: func(b *tab) {
			b.fill("url", "https://hooks.slack.com/services/T000/B000/XXXX")
			b.do(chromedp.WaitVisible(chromedp.CSS("#hint .hint")))
		}},
		{Name: "new-faults", Path: "/new", Do: func(b *tab) {
			b.fill("url", "http://localhost/hook")
			evaluate[int](b, `(() => { const all = document.querySelectorAll("[name=events]"); for (const e of all) e.checked = false; return all.length })()`)
			b.put("secret", "short")
			b.put("max_per_second", "many")
			b.put("description", strings.Repeat("x", 3000))
			b.submit("/new")
		}},
		{Name: "new-more-faults", Path: "/new", Do: func(b *tab) {
			b.put("url", "https://teams.microsoft.com/l/channel/19%3Aabc")
			b.put("name", strings.Repeat("n", 300))
			b.put("description", strings.Repeat("x", 5000))
			b.put("secret", "\u00e9")
			evaluate[string](b, `(() => { const names = document.querySelectorAll("[name=header_name]"); names[1].value = "X-Api-Key"; return names[0].value = "Host" })()`)
			b.submit("/new")
		}},
		{Name: "new-large", Path: "/new", Do: func(b *tab) {
			b.put("url", "https://example.org/hook")
			b.put("description", strings.Repeat("What was said in the town hall. ", 3000))
			b.submit("/new")
		}},
		{Name: "new-full", Path: "/new", Project: g.project + "-many", Do: func(b *tab) {
			b.put("url", "https://example.org/hook")
			b.submit("/new")
		}},
		{Name: "created", Path: "/new", Project: "created", Do: func(b *tab) {
			b.put("url", "https://hooks.zapier.com/hooks/catch/1/abc")
			b.submit("/new")
		}},
		{Name: "created-again", Path: "/new", Project: "created", Do: func(b *tab) {
			b.put("url", "https://example.org/hook")
			b.submit("/new")
			b.goTo(b.path())
		}},
		{Name: "created-chat", Path: "/new", Project: "created", Do: func(b *tab) {
			b.put("url", "https://hooks.slack.com/services/T000/B000/XXXX")
			evaluate[bool](b, `document.querySelector("[name=signing][value=false]").checked = true`)
			b.submit("/new")
		}},
		{Name: "clone", Path: "/clone"},
		{Name: "clone-none", Path: "/clone", Project: directustest.ProjectID(directustest.Legacy), As: legacy()},
		{Name: "clone-chosen", Path: "/new?clone=" + g.webhooks["failing"].ID, Project: "empty"},
		{Name: "edit", Path: g.below("working", "/edit"), Do: func(b *tab) { b.do(chromedp.Click(chromedp.CSS("summary"))) }},
		{Name: "edit-faults", Path: g.below("failing", "/edit"), Do: func(b *tab) {
			b.put("url", "ftp://example.org/hook")
			b.put("max_per_second", "2000")
			b.submit("/edit")
		}},
	}
}

func (g gallery) summaries() []shown {
	return []shown{
		{Name: "summary-working", Path: g.below("working", "")},
		{Name: "summary-failing", Path: g.below("failing", "")},
		{Name: "summary-stopped", Path: g.below("gone", "")},
		{Name: "summary-off", Path: g.below("off", "?done=off")},
		{Name: "summary-chat", Path: g.below("idle", "?done=saved"), Project: g.project + "-chat"},
		{Name: "summary-some-failed", Path: g.below("log", ""), Project: g.project + "-log"},
		{Name: "summary-hostile", Path: g.below("hostile", ""), Project: g.project + "-hostile"},
		{Name: "delete", Path: g.below("working", "/delete")},
		{Name: "delete-off", Path: g.below("off", "/delete")},
	}
}

func (g gallery) tests() []shown {
	send := func(b *tab) { b.submit("/test") }
	return []shown{
		{Name: "test", Path: g.below("working", "/test")},
		{Name: "test-off", Path: g.below("off", "/test")},
		{Name: "test-delivered", Path: g.below("working", "/test"), Do: send},
		{Name: "test-failed", Path: g.below("failing", "/test"), Do: send},
		{Name: "test-hostile", Path: g.below("hostile", "/test"), Project: g.project + "-hostile", Do: send},
		{Name: "test-unreachable", Path: g.below("unreachable", "/test"), Project: g.project + "-waiting", Do: send},
		{Name: "test-refused", Path: g.below("waiting", "/test"), Project: g.project + "-waiting", Do: send},
	}
}

func (g gallery) secrets() []shown {
	return []shown{
		{Name: "secret", Path: g.below("failing", "/secret")},
		{Name: "secret-stop", Path: g.below("failing", "/secret/stop")},
		{Name: "secret-none", Path: g.below("idle", "/secret?done=unsigned"), Project: g.project + "-chat"},
		{Name: "secret-unsigned", Path: g.below("sent", "/secret?done=ended"), Project: g.project + "-replays"},
		{Name: "secret-faults", Path: g.below("failing", "/secret"), Do: func(b *tab) {
			b.put("secret", "short")
			b.submit("/secret")
		}},
		{Name: "secret-rotated", Path: g.below("gone", "/secret"), Do: func(b *tab) {
			b.openAll() // it is folded where a secret was replaced already
			b.submit("/secret")
		}},
	}
}

func (g gallery) putRights() []shown {
	replays := g.project + "-replays"
	return []shown{
		{Name: "put-right", Path: g.below("failing", "/replays")},
		{Name: "put-right-tested", Path: g.below("failing", "/replays"), Do: func(b *tab) { b.follow("#fails form button") }},
		{Name: "put-right-counted", Path: g.below("failing", "/replays?since=failing&only=missed")},
		{Name: "put-right-counted-all", Path: g.below("sent", "/replays?since=week&only=all"), Project: replays},
		{Name: "put-right-nothing", Path: g.below("working", "/replays?since=day&only=missed")},
		{Name: "put-right-pending", Path: g.below("slow", "/replays?since=day&only=missed"), Project: g.project + "-slow"},
		{Name: "put-right-own-fault", Path: g.below("working", "/replays?since=own&from=2999-01-01&only=all")},
		{Name: "put-right-off", Path: g.below("off", "/replays")},
		{Name: "put-right-sending", Path: g.below("sending", "/replays?done=replay"), Project: replays},
		{Name: "put-right-waiting", Path: g.below("paused", "/replays"), Project: replays},
		{Name: "put-right-ended", Path: g.below("ended", "/replays"), Project: replays},
		{Name: "put-right-stalled", Path: g.below("stalled", "/replays"), Project: g.project + "-stalled"},
		{Name: "put-right-left", Path: g.below("left", "/replays"), Project: g.project + "-stalled"},
		{Name: "put-right-earlier", Path: g.below("sent", "/replays?done=cancelled"), Project: replays},
	}
}

func (g gallery) logs() []shown {
	log := g.project + "-log"
	return []shown{
		{Name: "deliveries", Path: g.below("log", "/deliveries"), Project: log},
		{Name: "deliveries-older", Path: g.below("log", "/deliveries"), Project: log, Do: func(b *tab) { b.follow("a[rel=next]") }},
		{Name: "deliveries-filtered", Path: g.below("log", "/deliveries?trigger=replay&done=resent"), Project: log},
		{Name: "deliveries-failing", Path: g.below("failing", "/deliveries")},
		{Name: "deliveries-empty", Path: g.below("off", "/deliveries")},
		{Name: "deliveries-none", Path: g.below("working", "/deliveries?status=failed&trigger=replay")},
		{Name: "deliveries-id-fault", Path: g.below("log", "/deliveries?id=evt%20or%20dlv"), Project: log},
		{Name: "deliveries-fault", Path: g.below("log", "/deliveries?cursor=nowhere"), Project: log},
	}
}

func (g gallery) deliveries() []shown {
	all := []shown{
		{Name: "delivery", Path: g.below("failing", "/deliveries"), Do: func(b *tab) { b.pressFirstRow() }},
		{Name: "delivery-delivered", Path: g.below("working", "/deliveries"), Do: func(b *tab) {
			b.pressFirstRow()
			b.openAll()
		}},
		{Name: "delivery-off", Path: g.below("gone", "/deliveries"), Do: func(b *tab) { b.pressFirstRow() }},
		{Name: "delivery-hostile", Path: g.below("hostile", "/deliveries?status_code=4xx"), Project: g.project + "-hostile", Do: func(b *tab) {
			b.pressFirstRow()
			b.openAll()
		}},
	}
	for _, name := range []string{"late", "late-2", "waiting", "waiting-soon", "due", "given-up", "not-sent", "long", "binary", "empty", "test", "again", "by-hand"} {
		all = append(all, shown{Name: "delivery-" + name, Path: g.below("log", "/deliveries/"+g.attempts[name]), Project: g.project + "-log"})
	}
	return all
}

func (g gallery) statistics() []shown {
	return []shown{
		{Name: "statistics", Path: g.below("busy", "/statistics"), Project: g.project + "-busy"},
		{Name: "statistics-table", Path: g.below("busy", "/statistics"), Project: g.project + "-busy", Do: func(b *tab) {
			b.do(chromedp.Click(chromedp.CSS("#by-hour summary")))
		}},
		{Name: "statistics-reasons", Path: g.below("log", "/statistics"), Project: g.project + "-log"},
		{Name: "statistics-failing", Path: g.below("failing", "/statistics")},
		{Name: "statistics-empty", Path: g.below("off", "/statistics")},
	}
}

func (g gallery) developers() []shown {
	check := func(body, secret string, at time.Duration) func(b *tab) {
		return func(b *tab) {
			b.put("body", body)
			b.put("headers", checkedHeaders(time.Now().Add(at), signature.HeaderBody, signature.HeaderReference))
			b.put("secret", secret)
			b.submit("/check")
		}
	}
	return []shown{
		{Name: "developer", Path: g.below("working", "/developer")},
		{Name: "developer-chat", Path: g.below("working", "/developer?format=slack&event=conversation.summarized"), Do: func(b *tab) {
			b.do(chromedp.Click(chromedp.CSS("#sample-raw summary")))
		}},
		{Name: "check", Path: g.below("working", "/check")},
		{Name: "check-faults", Path: g.below("working", "/check"), Do: func(b *tab) { b.submit("/check") }},
		{Name: "check-matches", Path: g.below("working", "/check"), Do: check(checkedBody, checkSecret, 0)},
		{Name: "check-old", Path: g.below("working", "/check"), Do: func(b *tab) {
			b.put("body", checkedBody)
			b.put("headers", checkedHeaders(time.Now().Add(-3*time.Hour)))
			b.put("secret", checkSecret)
			b.submit("/check")
		}},
		{Name: "check-differs", Path: g.below("working", "/check"), Do: check(checkedBody+"\n", checkSecret, 0)},
		{Name: "missing-some", Path: g.below("gone", "/missing")},
		{Name: "missing-many", Path: g.below("paused", "/missing"), Project: g.project + "-replays"},
		{Name: "missing-none", Path: g.below("working", "/missing")},
		{Name: "missing-pending", Path: g.below("slow", "/missing"), Project: g.project + "-slow"},
		{Name: "missing-empty", Path: g.below("idle", "/missing"), Project: g.project + "-chat"},
	}
}

func (g gallery) signIns() []shown {
	nobody := visitor{SignedOut: true}
	here := "&next=" + url.QueryEscape("/projects/"+g.project+"/webhooks")
	signIn := func(project, token string) func(b *tab) {
		return func(b *tab) {
			if project != "" {
				b.put("project", project)
			}
			b.put("token", token)
			b.submit("/sign-in")
		}
	}
	kept := func(b *tab) {
		b.put("name", "Kept for later")
		b.lose(sessionCookie)
		b.submit("/new")
	}
	return []shown{
		{Name: "sign-in-kept", Path: "/new", Do: kept},
		{Name: "sign-in-kept-again", Path: "/new", Do: func(b *tab) {
			kept(b)
			b.put("token", shared.at.Token)
			b.submit("/sign-in")
		}},
		{Name: "session-kept", Path: "/new", Project: directustest.ProjectID(directustest.Changemaker), As: visitor{Dashboard: true, User: directustest.Owner}, Do: kept},
		{Name: "sign-in", Path: "/webhooks/sign-in", As: nobody},
		{Name: "sign-in-again", Path: "/new", As: nobody},
		{Name: "sign-in-signed-out", Path: "/webhooks/sign-in?done=signed-out", As: nobody},
		{Name: "sign-in-unsaved", Path: "/webhooks/sign-in?unsaved=true" + here, As: nobody},
		{Name: "sign-in-spent", Path: "/webhooks/sign-in?code=spent" + here, As: nobody},
		{Name: "sign-in-project", Path: "/webhooks/sign-in", As: nobody, Do: signIn("", "a-token")},
		{Name: "sign-in-token", Path: "/webhooks/sign-in", As: nobody, Do: signIn(g.project, "a-token")},
	}
}

// legacy is somebody who has one project and nothing else.
func legacy() visitor { return visitor{Dashboard: true, User: directustest.LegacyCreator} }

// frozen are the pages of a workspace whose tier fell.
func (g gallery) frozen() []shown {
	owner, project := visitor{Dashboard: true, User: directustest.Owner}, directustest.ProjectID(directustest.Guardian)
	all := []shown{{Name: "frozen-empty", Path: "", Project: directustest.ProjectID(directustest.Free), As: owner}}
	for name, path := range map[string]string{
		"overview": "", "new": "/new", "summary": g.below("frozen", ""), "summary-failing": g.below("frozen-failing", ""), "summary-off": g.below("frozen-off", ""),
		"edit": g.below("frozen", "/edit"), "test": g.below("frozen", "/test"), "secret": g.below("frozen", "/secret"), "delete": g.below("frozen", "/delete"),
		"put-right": g.below("frozen-failing", "/replays"), "missing": g.below("frozen", "/missing"),
		"delivery": g.below("frozen-failing", "/deliveries/"+g.attempts["frozen"]),
	} {
		all = append(all, shown{Name: "frozen-" + name, Path: path, Project: project, As: owner})
	}
	return all
}

// refusals are what somebody sees who may see nothing, or when something is wrong.
func (g gallery) refusals() []shown {
	home := directustest.ProjectID(directustest.Changemaker)
	as := func(user int) visitor { return visitor{Dashboard: true, User: user} }
	stale := func(form string) func(b *tab) {
		return func(b *tab) {
			evaluate[string](b, `document.querySelector("main [name=_token]").value = "another"`)
			b.submit(form)
		}
	}
	return []shown{
		{Name: "not-found", Path: "/01ARZ3NDEKTSV4RRFFQ69G5FAV"},
		{Name: "not-there", Path: "/webhooks/nothing", As: visitor{SignedOut: true}},
		{Name: "member", Path: "", Project: home, As: as(directustest.Member)},
		{Name: "not-onboarded", Path: "", Project: home, As: as(directustest.NotOnboarded)},
		{Name: "stranger", Path: "", Project: home, As: as(directustest.Outsider)},
		{Name: "session-ended", Path: "", Project: home, As: visitor{Dashboard: true, SignedOut: true}},
		{Name: "session-expired", Path: "", Project: home, As: visitor{Dashboard: true, Token: session(directustest.Owner, time.Now().Add(-time.Minute))}},
		{Name: "away", Path: "", Project: directustest.ProjectID(awayProject), As: as(directustest.Owner), Fails: true},
		{Name: "too-many", Path: "", Project: home, As: visitor{Dashboard: true, Token: shared.dashboard.token(directustest.Owner)}, Do: func(b *tab) {
			b.hurry()
			b.visit("")
		}},
		{Name: "body-gone", Path: g.below("log", "/deliveries/"+g.attempts["late"]+"/body"), Project: g.project + "-log"},
		{Name: "form-stale", Path: "/new", Do: stale("/new")},
		{Name: "press-stale", Path: g.below("working", "/delete"), Do: stale("/delete")},
		{Name: "form-large", Path: "/new", Do: func(b *tab) {
			b.put("description", strings.Repeat("x", 300_000))
			b.submit("/new")
		}},
	}
}
