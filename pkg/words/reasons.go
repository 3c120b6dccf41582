package words

import "github.com/dembrane/webhooks/proto/webhooksv1"

// reasons is what is said when nothing more particular is known.
func reasons() map[webhooksv1.Reason]line {
	return map[webhooksv1.Reason]line{
		webhooksv1.Reason_REASON_UNSPECIFIED: say(
			"The delivery did not succeed.", "Look at the receiver's own log at that time.",
			"De bezorging is niet gelukt.", "Kijk in het eigen logboek van de ontvanger op dat tijdstip."),
		webhooksv1.Reason_REASON_STATUS: say(
			"The receiver answered {status}, which is no success.", "Look at the response for the reason.",
			"De ontvanger antwoordde {status}: de bezorging is niet gelukt.", "Kijk in het antwoord naar de reden."),
		webhooksv1.Reason_REASON_REDIRECT: say(
			"The receiver answered {status}: it redirects{target}, and redirects are not followed.",
			"Register the final URL instead.",
			"De ontvanger antwoordde {status}: die verwijst door{target}, en doorverwijzingen worden niet gevolgd.",
			"Vul bij de instellingen het uiteindelijke adres in."),
		webhooksv1.Reason_REASON_THROTTLED: say(
			"The receiver answered {status}: it asked for fewer requests.",
			"Nothing needs to be done. If it happens often, set a lower limit of deliveries a second.",
			"De ontvanger antwoordde {status}: die vroeg om minder verzoeken.",
			"U hoeft niets te doen. Gebeurt het vaak, stel dan een lagere limiet van bezorgingen per seconde in."),
		webhooksv1.Reason_REASON_TIMEOUT: say(
			"Timed out after {took}: the receiver did not answer in time.",
			"Let the receiver answer first and do its work afterwards.",
			"Afgebroken na {took}: de ontvanger antwoordde niet op tijd.",
			"Laat de ontvanger eerst antwoorden en daarna pas het werk doen."),
		webhooksv1.Reason_REASON_DNS: say(
			"The host name in the URL could not be looked up.",
			"Check the host name, and the name servers of its domain.",
			"De domeinnaam in het adres kon niet worden opgezocht.",
			"Controleer de domeinnaam en de nameservers ervan."),
		webhooksv1.Reason_REASON_ADDRESS_FORBIDDEN: say(
			"The URL leads to an address where deliveries are not allowed to go.",
			"Use a URL that is reachable from the public internet.",
			"Dit is een adres waar niet bezorgd mag worden.",
			"Gebruik een adres dat vanaf het openbare internet bereikbaar is."),
		webhooksv1.Reason_REASON_CONNECT: say(
			"The receiver could not be reached.",
			"Check that the receiver is running and that no firewall keeps us out.",
			"De ontvanger was niet bereikbaar.",
			"Controleer of de ontvanger draait en geen firewall ons tegenhoudt."),
		webhooksv1.Reason_REASON_CERTIFICATE: say(
			"The receiver's certificate is not valid.", "Renew the certificate, or have it issued by a known authority.",
			"Het certificaat van de ontvanger is niet geldig.", "Vernieuw het certificaat of laat het door een bekende instantie uitgeven."),
		webhooksv1.Reason_REASON_TLS: say(
			"No encrypted connection (TLS) with the receiver could be made.",
			"Check that the URL and its port are right, and that the receiver speaks TLS 1.2 or newer.",
			"Er kon geen versleutelde verbinding (TLS) met de ontvanger worden gemaakt.",
			"Controleer of het adres en de poort kloppen en of de ontvanger TLS 1.2 of nieuwer spreekt."),
		webhooksv1.Reason_REASON_CONNECTION_CLOSED: say(
			"The receiver closed the connection before it answered.",
			"Look at the receiver's own log at that time: it may have crashed or restarted.",
			"De ontvanger sloot de verbinding voordat die antwoordde.",
			"Kijk in het eigen logboek van de ontvanger op dat tijdstip: misschien is die vastgelopen of herstart."),
		webhooksv1.Reason_REASON_PROTOCOL: say(
			"What the receiver answered is not valid HTTP.",
			"Check that the URL and its port lead to a web server.",
			"Wat de ontvanger antwoordde is geen geldige HTTP.",
			"Controleer of het adres en de poort die van een webserver zijn."),
		webhooksv1.Reason_REASON_REGISTRATION: say(
			"The webhook's URL, secret or headers cannot be used.", "Set them again.",
			"Het adres, het geheim of de headers van de webhook zijn onbruikbaar.", "Stel ze opnieuw in."),
		webhooksv1.Reason_REASON_INTERNAL: say(
			"The attempt failed because of a fault on our side.",
			"Nothing needs to be done. Tell us the attempt's id if it persists.",
			"De poging mislukte door een fout aan onze kant.",
			"U hoeft niets te doen. Geef ons het id van de poging door als het aanhoudt."),
		webhooksv1.Reason_REASON_RECEIVER_FAILING: say(
			"The receiver has been failing for so long that this was not tried any more.",
			"Send it again when the receiver works.",
			"De ontvanger faalt al zo lang dat dit niet meer is geprobeerd.",
			"Verstuur het bericht opnieuw zodra de ontvanger werkt."),
	}
}

// causes is what an attempt met in particular.
func causes() map[webhooksv1.Cause]line {
	clientCertificate := say(
		"The receiver wants a client certificate (mutual TLS), which is not supported.",
		"Turn that off for this URL, and check the signature of deliveries instead.",
		"De ontvanger vraagt een clientcertificaat (mutual TLS), en dat wordt niet ondersteund.",
		"Schakel dat voor dit adres uit en controleer in plaats daarvan de handtekening van bezorgingen.")
	return map[webhooksv1.Cause]line{
		webhooksv1.Cause_CAUSE_NAME_NOT_FOUND: say(
			"The host name in the URL does not exist.", "Check the URL for a typing error, and that the domain is still registered.",
			"De domeinnaam in het adres bestaat niet.", "Controleer of er een typefout in het adres staat en of het domein nog bestaat."),
		webhooksv1.Cause_CAUSE_REFUSED: say(
			"The receiver refused the connection.", "Check that the receiver is running and listens on the port in the URL.",
			"De ontvanger weigerde de verbinding.", "Controleer of de ontvanger draait en op de poort in het adres bereikbaar is."),
		webhooksv1.Cause_CAUSE_IPV6_ONLY: say(
			"The receiver has addresses of IPv6 only, which cannot be reached from here.", "Give the receiver an IPv4 address as well.",
			"De ontvanger heeft alleen IPv6-adressen, en die zijn vanaf hier niet bereikbaar.", "Geef de ontvanger ook een IPv4-adres."),
		webhooksv1.Cause_CAUSE_CERTIFICATE_HOST: say(
			"The receiver's certificate is for another host name.", "Use the host name in the certificate, or get a certificate for this one.",
			"Het certificaat van de ontvanger is voor een andere domeinnaam.", "Gebruik de domeinnaam uit het certificaat of vraag een certificaat voor deze aan."),
		webhooksv1.Cause_CAUSE_CERTIFICATE_AUTHORITY: say(
			"The receiver's certificate is not signed by a known authority.",
			"Install a certificate of a public authority, together with its intermediate certificates; a self-signed one is not accepted.",
			"Het certificaat van de ontvanger is niet door een bekende instantie ondertekend.",
			"Installeer een certificaat van een openbare instantie, samen met de tussenliggende certificaten; een zelfondertekend certificaat wordt niet geaccepteerd."),
		webhooksv1.Cause_CAUSE_CERTIFICATE_EXPIRED: say(
			"The receiver's certificate has expired.", "Renew the certificate.",
			"Het certificaat van de ontvanger is verlopen.", "Vernieuw het certificaat."),
		webhooksv1.Cause_CAUSE_CERTIFICATE_EARLY: say(
			"The receiver's certificate is not valid yet.", "Check the dates of the certificate.",
			"Het certificaat van de ontvanger is nog niet geldig.", "Controleer de datums van het certificaat."),
		webhooksv1.Cause_CAUSE_CERTIFICATE_USAGE: say(
			"The receiver's certificate is not meant for servers.", "Install a certificate for servers.",
			"Het certificaat van de ontvanger is niet bedoeld voor servers.", "Installeer een certificaat voor servers."),
		webhooksv1.Cause_CAUSE_TLS_NONE: say(
			"The receiver does not speak TLS on this port.", "Check the port, and whether the URL should begin with http://.",
			"De ontvanger spreekt geen TLS op deze poort.", "Controleer de poort en of het adres met http:// moet beginnen."),
		webhooksv1.Cause_CAUSE_TLS_TOO_OLD: say(
			"The receiver speaks no TLS newer than 1.1.", "Let the receiver speak TLS 1.2 or newer.",
			"De ontvanger spreekt geen TLS nieuwer dan 1.1.", "Laat de ontvanger TLS 1.2 of nieuwer spreken."),
		webhooksv1.Cause_CAUSE_TLS_CLIENT_CERTIFICATE: clientCertificate,
		webhooksv1.Cause_CAUSE_TLS_RENEGOTIATION:      clientCertificate,
		webhooksv1.Cause_CAUSE_TLS_CIPHERS: say(
			"The receiver has no cipher suite in common with us.", "Let the receiver speak TLS 1.3, or TLS 1.2 with ECDHE.",
			"De ontvanger heeft geen versleutelingsmethode met ons gemeen.", "Laat de ontvanger TLS 1.3 spreken, of TLS 1.2 met ECDHE."),
		webhooksv1.Cause_CAUSE_TLS_NAME: say(
			"The receiver does not serve the host name in the URL over TLS.", "Check the host name, and that the receiver knows it.",
			"De ontvanger kent de domeinnaam in het adres niet via TLS.", "Controleer de domeinnaam en of de ontvanger die kent."),
		webhooksv1.Cause_CAUSE_TLS_NO_HTTP: say(
			"The receiver speaks neither HTTP/1.1 nor HTTP/2 over TLS.", "Check that the port in the URL is a web server's.",
			"De ontvanger spreekt via TLS geen HTTP/1.1 en geen HTTP/2.", "Controleer of de poort in het adres die van een webserver is."),
		webhooksv1.Cause_CAUSE_TLS_RECEIVER: say(
			"The receiver reported a fault of its own while encryption (TLS) was agreed on.", "Look at the receiver's own log at that time.",
			"De ontvanger meldde een eigen fout bij het afspreken van de versleuteling (TLS).", "Kijk in het eigen logboek van de ontvanger op dat tijdstip."),
		webhooksv1.Cause_CAUSE_REQUEST_REFUSED: say(
			"The receiver refused the request before it answered.", "Look at the receiver's own log at that time.",
			"De ontvanger weigerde het verzoek voordat die antwoordde.", "Kijk in het eigen logboek van de ontvanger op dat tijdstip."),
		webhooksv1.Cause_CAUSE_ACCEPTED: say(
			"Accepted by the chat in {took}; it does not tell whether the message was posted.",
			"Look in the channel if you need to be sure.",
			"Aangenomen door de chat in {took}; die meldt niet of het bericht is geplaatst.",
			"Kijk in het kanaal als u het zeker wilt weten."),
		webhooksv1.Cause_CAUSE_NOT_POSTED: say(
			"The chat took the message and then reported that it could not be posted.",
			"Look at the response for the reason.",
			"De chat nam het bericht aan en meldde daarna dat het niet kon worden geplaatst.",
			"Kijk in het antwoord naar de reden."),
		webhooksv1.Cause_CAUSE_CHAT_GONE: say(
			"The receiver answered {status}: the chat's webhook no longer exists or was switched off.",
			"Make a new one in the chat and register its URL.",
			"De ontvanger antwoordde {status}: de webhook van de chat bestaat niet meer of is uitgezet.",
			"Maak in de chat een nieuwe en vul het adres daarvan bij de instellingen in."),
		webhooksv1.Cause_CAUSE_CHAT_CHANNEL: say(
			"The receiver answered {status}: the chat's channel no longer exists or is archived.", "Choose another channel in the chat.",
			"De ontvanger antwoordde {status}: het kanaal van de chat bestaat niet meer of is gearchiveerd.", "Kies in de chat een ander kanaal."),
		webhooksv1.Cause_CAUSE_CHAT_PROHIBITED: say(
			"The receiver answered {status}: the chat's settings do not allow messages to this channel.",
			"Ask whoever manages the chat to allow it, or choose another channel.",
			"De ontvanger antwoordde {status}: de instellingen van de chat staan geen berichten in dit kanaal toe.",
			"Vraag de beheerder van de chat om het toe te staan of kies een ander kanaal."),
		webhooksv1.Cause_CAUSE_CHAT_FORM: say(
			"The receiver answered {status}: the chat does not take a message of this form.",
			"Check that the format of the webhook is the one that this URL takes.",
			"De ontvanger antwoordde {status}: de chat neemt een bericht in deze vorm niet aan.",
			"Controleer of het formaat van de webhook bij dit adres past."),
		webhooksv1.Cause_CAUSE_SCRIPT_LOGIN: say(
			"The receiver answered {status}: the Google Apps Script asks for a login.", "Deploy it as a web app to which anyone has access.",
			"De ontvanger antwoordde {status}: het Google Apps Script vraagt om in te loggen.", "Publiceer het als webapp waartoe iedereen toegang heeft."),
	}
}
