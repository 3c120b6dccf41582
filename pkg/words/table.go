package words

import (
	"net/http"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// line is one row of the table: by language, what happened and what to do.
// {status}, {size}, {took} and {target} stand for what is known of the attempt.
type line struct{ message, advice [2]string }

func say(message, advice, bericht, advies string) line {
	return line{message: [2]string{message, bericht}, advice: [2]string{advice, advies}}
}

// all is the whole table.
var all = struct { //nolint:gochecknoglobals // never changed
	outcomes, afterwards map[webhooksv1.Outcome]line
	reasons              map[webhooksv1.Reason]line
	causes               map[webhooksv1.Cause]line
	phases               map[webhooksv1.Phase]line
	statuses, classes    map[int]line
}{
	outcomes: outcomes(), afterwards: afterwards(), reasons: reasons(), causes: causes(), phases: phases(),
	statuses: statuses(), classes: classes(),
}

// statusText is the status's name, which is English in every language.
func statusText(status int) string { return http.StatusText(status) }

// outcomes is for attempts without a reason.
func outcomes() map[webhooksv1.Outcome]line {
	return map[webhooksv1.Outcome]line{
		webhooksv1.Outcome_OUTCOME_UNSPECIFIED: say(
			"It is not known what became of this delivery.",
			"Look at the receiver to see whether it arrived, and send it again if it did not.",
			"Het is niet bekend wat er van deze bezorging is geworden.",
			"Kijk bij de ontvanger of het bericht is aangekomen en verstuur het opnieuw als dat niet zo is."),
		webhooksv1.Outcome_OUTCOME_DELIVERED: say(
			"Delivered: the receiver answered {status} in {took}.", "",
			"Bezorgd: de ontvanger antwoordde {status} in {took}.", ""),
		webhooksv1.Outcome_OUTCOME_RETRY: say(
			"The delivery did not succeed and will be tried again.", "",
			"De bezorging is niet gelukt en wordt opnieuw geprobeerd.", ""),
		webhooksv1.Outcome_OUTCOME_EXHAUSTED: say(
			"The delivery did not succeed and is not tried any more.",
			"Send it again when the receiver works.",
			"De bezorging is niet gelukt en wordt niet meer geprobeerd.",
			"Verstuur het bericht opnieuw zodra de ontvanger werkt."),
		webhooksv1.Outcome_OUTCOME_GONE: say(
			"The receiver wants no more deliveries, so the webhook was switched off.",
			"If that was a mistake, mend the receiver and switch the webhook on again.",
			"De ontvanger wil geen bezorgingen meer, daarom is de webhook uitgezet.",
			"Was dat een vergissing, herstel dan de ontvanger en zet de webhook weer aan."),
		webhooksv1.Outcome_OUTCOME_DELETED: say(
			"The webhook was deleted before this could be sent.", "",
			"De webhook is verwijderd voordat dit kon worden verstuurd.", ""),
		webhooksv1.Outcome_OUTCOME_DISABLED: say(
			"The webhook was switched off before this could be sent.",
			"Switch the webhook on and send it again if it is still wanted.",
			"De webhook is uitgezet voordat dit kon worden verstuurd.",
			"Zet de webhook aan en verstuur het bericht opnieuw als het nog gewenst is."),
		webhooksv1.Outcome_OUTCOME_EXPIRED: say(
			"The event is no longer kept, so it can no longer be sent.",
			"Fetch what you need from the dashboard.",
			"De gebeurtenis wordt niet meer bewaard en kan daarom niet meer worden verstuurd.",
			"Haal wat u nodig hebt op uit het dashboard."),
		webhooksv1.Outcome_OUTCOME_ERASED: say(
			"The event was erased before this could be sent.", "",
			"De gebeurtenis is gewist voordat dit kon worden verstuurd.", ""),
	}
}

// afterwards is what an outcome adds to what happened.
func afterwards() map[webhooksv1.Outcome]line {
	return map[webhooksv1.Outcome]line{
		webhooksv1.Outcome_OUTCOME_RETRY: say(
			"It will be tried again.", "", "Het wordt opnieuw geprobeerd.", ""),
		webhooksv1.Outcome_OUTCOME_EXHAUSTED: say(
			"That was the last attempt.", "Send it again when the receiver works.",
			"Dat was de laatste poging.", "Verstuur het bericht opnieuw zodra de ontvanger werkt."),
		webhooksv1.Outcome_OUTCOME_GONE: say(
			"The webhook was switched off.", "Switch the webhook on again when it works.",
			"De webhook is uitgezet.", "Zet de webhook weer aan zodra het werkt."),
	}
}

// statuses are those that say what is wrong.
func statuses() map[int]line {
	refused := say(
		"The receiver answered {status}: it refuses the delivery.",
		"Check that the URL is complete, that the secret is the same on both sides, and that the receiver asks for no key that is not sent.",
		"De ontvanger antwoordde {status}: die weigert de bezorging.",
		"Controleer of het adres volledig is, of het geheim aan beide kanten hetzelfde is en of de ontvanger geen sleutel vraagt die niet wordt meegestuurd.")
	busy := say(
		"The receiver answered {status}: it asked for fewer requests.",
		"Nothing needs to be done. If it happens often, set a lower limit of deliveries a second.",
		"De ontvanger antwoordde {status}: die vroeg om minder verzoeken.",
		"U hoeft niets te doen. Gebeurt het vaak, stel dan een lagere limiet van bezorgingen per seconde in.")
	behind := say(
		"The receiver answered {status}: what stands in front of the receiver could not reach it.",
		"Check that the receiver is running and reachable from its own gateway or proxy.",
		"De ontvanger antwoordde {status}: wat voor de ontvanger staat kon die niet bereiken.",
		"Controleer of de ontvanger draait en bereikbaar is vanaf de eigen gateway of proxy.")
	return map[int]line{
		http.StatusBadRequest: say(
			"The receiver answered {status}: it could not use the request.",
			"Look at the response for what it misses, and check that it takes the format of this webhook.",
			"De ontvanger antwoordde {status}: die kon niets met het verzoek.",
			"Kijk in het antwoord wat er ontbreekt en controleer of de ontvanger het formaat van deze webhook aanneemt."),
		http.StatusUnauthorized: refused,
		http.StatusForbidden:    refused,
		http.StatusNotFound: say(
			"The receiver answered {status}: nothing is listening at this URL.",
			"Check that the URL is complete and still in use.",
			"De ontvanger antwoordde {status}: dit adres bestaat daar niet.",
			"Controleer of het adres volledig is en nog wordt gebruikt."),
		http.StatusMethodNotAllowed: say(
			"The receiver answered {status}: it takes no POST at this URL.",
			"Check that the URL is the one that the receiver gives for webhooks.",
			"De ontvanger antwoordde {status}: op dit adres neemt die geen berichten (POST) aan.",
			"Controleer of dit het adres is dat de ontvanger voor webhooks opgeeft."),
		http.StatusRequestTimeout: say(
			"The receiver answered {status}: it did not get the request in time.",
			"Check the receiver's limits on how long a request may take.",
			"De ontvanger antwoordde {status}: die kreeg het verzoek niet op tijd.",
			"Controleer hoe lang een verzoek bij de ontvanger mag duren."),
		http.StatusGone: say(
			"The receiver answered 410 Gone: it wants no more deliveries.",
			"If that is a mistake, mend the receiver.",
			"De ontvanger antwoordde 410 Gone: die wil geen bezorgingen meer.",
			"Is dat een vergissing, herstel dan de ontvanger."),
		http.StatusRequestEntityTooLarge: say(
			"The receiver answered {status}: the body of this delivery is {size}.",
			"Let the receiver accept larger bodies.",
			"De ontvanger antwoordde {status}: de inhoud van deze bezorging is {size}.",
			"Laat de ontvanger grotere berichten aannemen."),
		http.StatusUnsupportedMediaType: say(
			"The receiver answered {status}: it does not take JSON.",
			"Check that the URL is the one that the receiver gives for webhooks.",
			"De ontvanger antwoordde {status}: die neemt geen JSON aan.",
			"Controleer of dit het adres is dat de ontvanger voor webhooks opgeeft."),
		http.StatusUnprocessableEntity: say(
			"The receiver answered {status}: it understood the request and did not accept it.",
			"Look at the response for what it misses.",
			"De ontvanger antwoordde {status}: die begreep het verzoek, maar nam het niet aan.",
			"Kijk in het antwoord wat er ontbreekt."),
		http.StatusTooManyRequests:    busy,
		http.StatusServiceUnavailable: busy,
		http.StatusBadGateway:         behind,
		http.StatusGatewayTimeout:     behind,
	}
}

// classes are the statuses that say no more than their first digit.
func classes() map[int]line {
	return map[int]line{
		4: say(
			"The receiver answered {status}: it did not accept the delivery.",
			"Look at the response for the reason, and check the URL.",
			"De ontvanger antwoordde {status}: die nam de bezorging niet aan.",
			"Kijk in het antwoord naar de reden en controleer het adres."),
		5: say(
			"The receiver answered {status}: something went wrong there.",
			"Look at the receiver's own log at that time.",
			"De ontvanger antwoordde {status}: daar ging iets mis.",
			"Kijk in het eigen logboek van de ontvanger op dat tijdstip."),
	}
}

// phases is where the time went of an attempt that took too long.
func phases() map[webhooksv1.Phase]line {
	return map[webhooksv1.Phase]line{
		webhooksv1.Phase_PHASE_DNS: say(
			"Timed out after {took}: the host name in the URL could not be looked up in time.",
			"Check the host name, and the name servers of its domain.",
			"Afgebroken na {took}: de domeinnaam in het adres kon niet op tijd worden opgezocht.",
			"Controleer de domeinnaam en de nameservers ervan."),
		webhooksv1.Phase_PHASE_CONNECT: say(
			"Timed out after {took}: the receiver did not accept a connection.",
			"Check that the receiver is running and that no firewall keeps us out.",
			"Afgebroken na {took}: de ontvanger nam geen verbinding aan.",
			"Controleer of de ontvanger draait en geen firewall ons tegenhoudt."),
		webhooksv1.Phase_PHASE_TLS: say(
			"Timed out after {took}: the receiver did not finish agreeing on encryption (TLS).",
			"Check that the port in the URL is the one for https, and that the receiver is not overloaded.",
			"Afgebroken na {took}: de ontvanger rondde de afspraken over versleuteling (TLS) niet af.",
			"Controleer of de poort in het adres die voor https is en of de ontvanger niet overbelast is."),
		webhooksv1.Phase_PHASE_SEND: say(
			"Timed out after {took}: the receiver did not take the whole request.",
			"Check that the receiver reads requests to their end and is not overloaded.",
			"Afgebroken na {took}: de ontvanger nam het verzoek niet helemaal aan.",
			"Controleer of de ontvanger verzoeken tot het einde leest en niet overbelast is."),
		webhooksv1.Phase_PHASE_WAIT: say(
			"Timed out after {took}: the receiver took the request and did not answer.",
			"Let the receiver answer first and do its work afterwards.",
			"Afgebroken na {took}: de ontvanger nam het verzoek aan en antwoordde niet.",
			"Laat de ontvanger eerst antwoorden en daarna pas het werk doen."),
	}
}
