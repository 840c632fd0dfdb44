<?php

// Laravel: save as app/Http/Middleware/VerifyWhatsAppWebhook.php, then
//   .env                  WHATSAPP_WEBHOOK_SECRET=whsec_…
//   config/services.php   'whatsapp' => ['webhook_secret' => env('WHATSAPP_WEBHOOK_SECRET')],
//   routes/api.php        Route::post('/whatsapp', WhatsAppController::class)->middleware(VerifyWhatsAppWebhook::class);
// A controller of yours then gets only genuine events, each once, in $request->json().

namespace App\Http\Middleware;

use Closure;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Cache;
use Symfony\Component\HttpFoundation\Response;

class VerifyWhatsAppWebhook
{
    /** Seconds the clocks of the two servers may differ; older requests are replays. */
    private const TOLERANCE = 300;

    public function handle(Request $request, Closure $next): Response
    {
        $id = (string) $request->header('webhook-id');
        $timestamp = (string) $request->header('webhook-timestamp');
        $signatures = (string) $request->header('webhook-signature');
        $secret = (string) config('services.whatsapp.webhook_secret');
        // The signature is over the very bytes that came.
        if (! self::isGenuine($secret, $id, $timestamp, $signatures, $request->getContent(), time())) {
            return response('wrong signature', 401);
        }

        // At least once means: an event can come twice. Attempts go on for days. Cache::add is atomic, and false for the second one.
        $key = 'whatsapp-webhook:'.$id;
        if (! Cache::add($key, true, now()->addWeek())) {
            return response('seen before', 200);
        }
        try {
            $response = $next($request);
        } catch (\Throwable $e) {
            Cache::forget($key); // it was not handled: the next attempt shall be
            throw $e;
        }
        if ($response->getStatusCode() >= 300) {
            Cache::forget($key);
        }

        return $response;
    }

    public static function isGenuine(
        string $secret,
        string $id,
        string $timestamp,
        string $signatures,
        string $body,
        int $now
    ): bool {
        $key = base64_decode(preg_replace('/^whsec_/', '', $secret), true);
        if ($key === false || $key === '' || $id === '' || ! ctype_digit($timestamp)) {
            return false;
        }
        if (abs($now - (int) $timestamp) > self::TOLERANCE) {
            return false;
        }
        $expected = base64_encode(hash_hmac('sha256', "{$id}.{$timestamp}.{$body}", $key, true));
        // Two signatures come while a secret is being rotated.
        foreach (explode(' ', $signatures) as $signature) {
            [$version, $value] = array_pad(explode(',', $signature, 2), 2, '');
            if ($version === 'v1' && hash_equals($expected, $value)) {
                return true;
            }
        }

        return false;
    }
}
