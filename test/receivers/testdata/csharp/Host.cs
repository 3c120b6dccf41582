using System;
using System.IO;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;

// Answers as the part of Receiver.cs does that needs ASP.NET, with what Mono has.
public static class Host
{
    public static void Main()
    {
        var verifier = new Verifier(Environment.GetEnvironmentVariable("WEBHOOK_SECRET") ?? "");
        var inbox = new Inbox(Environment.GetEnvironmentVariable("INBOX"), json => Console.WriteLine(Regex.Match(json, "\"id\":\"(evt_[^\"]+)\"").Groups[1]));
        new Thread(inbox.Work) { IsBackground = true }.Start();
        var listener = new HttpListener();
        listener.Prefixes.Add("http://127.0.0.1:" + Environment.GetEnvironmentVariable("PORT") + "/");
        listener.Start();
        while (true)
        {
            HttpListenerContext context = listener.GetContext();
            Task.Run(() => Answer(verifier, inbox, context));
        }
    }
    private static void Answer(Verifier verifier, Inbox inbox, HttpListenerContext context)
    {
        var body = new MemoryStream();
        context.Request.InputStream.CopyTo(body);
        var headers = context.Request.Headers;
        string id = headers["webhook-id"] ?? "";
        string fault = verifier.FaultOf(id, headers["webhook-timestamp"] ?? "", headers["webhook-signature"] ?? "", body.ToArray());
        if (context.Request.HttpMethod != "POST")
        {
            context.Response.StatusCode = 405;
        }
        else
        {
            context.Response.StatusCode = fault != "" ? 401 : inbox.Keep(id, body.ToArray()) ? 202 : 200;
        }
        context.Response.Close();
    }
}
