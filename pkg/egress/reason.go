package egress

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/dembrane/webhooks/pkg/egress/http1"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

const internalDetail = "The attempt could not be made because of a fault on our side."

// failure is a result without a status.
func failure(reason webhooksv1.Reason, detail string) Result {
	return Result{Reason: reason, Detail: detail}
}

// because adds what it was in particular.
func (r Result) because(cause webhooksv1.Cause) Result {
	r.Cause = cause
	return r
}

// explain turns an error into a reason and a sentence for a host. The sentence is made here, never taken from the
// error: errors name addresses, name servers and URLs.
func explain(err error) Result {
	if failed, ok := errors.AsType[*dialError](err); ok {
		if failed.ours {
			return Result{Reason: webhooksv1.Reason_REASON_INTERNAL, Ours: true, Detail: internalDetail}
		}
		if failed.tls {
			return explainTLS(failed)
		}
		return explainConnect(failed)
	}
	if why, ok := explainAlert(err, false); ok {
		return why
	}
	if failed, ok := errors.AsType[*http1.Error](err); ok {
		return explainHTTP1(failed)
	}
	if failed, ok := errors.AsType[*http2Error](err); ok {
		return explainHTTP2(failed)
	}
	return failure(webhooksv1.Reason_REASON_INTERNAL, internalDetail)
}

func explainConnect(failed *dialError) Result {
	if dns, ok := errors.AsType[*net.DNSError](failed); ok {
		if dns.IsNotFound {
			return failure(webhooksv1.Reason_REASON_DNS, "The host name in the URL does not exist.").
				because(webhooksv1.Cause_CAUSE_NAME_NOT_FOUND)
		}
		return failure(webhooksv1.Reason_REASON_DNS, "The host name in the URL could not be looked up.")
	}
	if _, ok := errors.AsType[*net.AddrError](failed); ok {
		return failure(webhooksv1.Reason_REASON_REGISTRATION, "The webhook's URL cannot be used: its host or port is not valid.")
	}
	switch {
	case failed.limit > 0:
		return failure(webhooksv1.Reason_REASON_CONNECT, "The receiver did not accept a connection within "+failed.limit.String()+".")
	case errors.Is(failed, syscall.ECONNREFUSED):
		return failure(webhooksv1.Reason_REASON_CONNECT, "The receiver refused the connection.").because(webhooksv1.Cause_CAUSE_REFUSED)
	case withoutIPv6(failed):
		return failure(webhooksv1.Reason_REASON_CONNECT, "The receiver has addresses of IPv6 only, which cannot be reached from here.").
			because(webhooksv1.Cause_CAUSE_IPV6_ONLY)
	default:
		return failure(webhooksv1.Reason_REASON_CONNECT, "The receiver could not be reached.")
	}
}

func explainHTTP1(failed *http1.Error) Result {
	switch {
	case errors.Is(failed, http1.ErrMalformed):
		return malformed()
	case failed.Broken:
		return closed()
	default:
		return failure(webhooksv1.Reason_REASON_INTERNAL, internalDetail)
	}
}

func explainHTTP2(failed *http2Error) Result {
	if failed.malformed() {
		return malformed()
	}
	if _, isReset := failed.reset(); !failed.ended() && (isReset || failed.unprocessed()) {
		return failure(webhooksv1.Reason_REASON_CONNECTION_CLOSED, "The receiver refused the request before it answered.").
			because(webhooksv1.Cause_CAUSE_REQUEST_REFUSED)
	}
	return closed()
}

func closed() Result {
	return failure(webhooksv1.Reason_REASON_CONNECTION_CLOSED, "The receiver closed the connection before it answered.")
}

func malformed() Result {
	return failure(webhooksv1.Reason_REASON_PROTOCOL, "The receiver's answer is not valid HTTP, or its headers are larger than "+
		strconv.Itoa(maxHeader>>10)+" KiB.")
}

// timeoutDetail says where the time of an attempt went.
func timeoutDetail(phase webhooksv1.Phase, limit time.Duration) string {
	within := " within " + limit.String() + "."
	switch phase {
	case webhooksv1.Phase_PHASE_DNS:
		return "The host name in the URL could not be looked up" + within
	case webhooksv1.Phase_PHASE_CONNECT:
		return "The receiver did not accept a connection" + within
	case webhooksv1.Phase_PHASE_TLS:
		return "The receiver did not finish the TLS handshake" + within
	case webhooksv1.Phase_PHASE_SEND:
		return "The receiver did not take the whole request" + within
	case webhooksv1.Phase_PHASE_WAIT, webhooksv1.Phase_PHASE_UNSPECIFIED:
	}
	return "The receiver did not answer" + within
}
